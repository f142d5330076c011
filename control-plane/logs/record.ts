import { crc32 } from 'node:zlib';
import type { AttemptRef, StreamKind } from './log-store.ts';

/**
 * A record on disk: a header of 64 bytes, then the body (the data, a gap's reason, or an end's final lengths).
 *
 *     0 magic   4 headerCrc  8 bodyCrc     12 bodyLength
 *     16 kind   17 stream    18 flags      20 childIndex  24 attempt   28 task  30 container
 *     32 jobNumber  40 offset  48 length   56 observedAtMs             (little endian)
 *
 * The header's checksum is seeded with the segment and the position: a job that prints a segment file cannot make records.
 * Header and body have a checksum each, so that a damaged body still tells whose bytes are missing, and how many.
 */
export const HEADER_BYTES = 64;
export const MAGIC = Buffer.from('GLR1');
const MAGIC_U32 = MAGIC.readUInt32LE(0);

export const RecordKind = { data: 1, gap: 2, end: 3 } as const;
export type RecordKind = (typeof RecordKind)[keyof typeof RecordKind];

/** The first record of a turn: everything before it was synced when it was written. */
const FLAG_TURN_START = 1;

export const STREAMS = ['output', 'stdout', 'stderr'] as const satisfies readonly StreamKind[];
/** The position of a stream in `STREAMS`, also in arrays of three. */
export type StreamIndex = 0 | 1 | 2;
const STREAM_INDEX: Readonly<Record<StreamKind, StreamIndex>> = { output: 0, stdout: 1, stderr: 2 };
export const streamIndex = (stream: StreamKind): StreamIndex => STREAM_INDEX[stream];

export interface RecordHeader {
  readonly kind: RecordKind;
  readonly ref: AttemptRef;
  /** 0 in an end record. */
  readonly stream: StreamIndex;
  readonly turnStart: boolean;
  readonly offset: number;
  /** Bytes of the stream that the record stands for. */
  readonly length: number;
  readonly observedAtMs: number;
  readonly bodyLength: number;
  readonly bodyCrc: number;
}

const TWO_32 = 2 ** 32;

export function writeU64LE(target: Buffer, value: number, at: number): void {
  target.writeUInt32LE(value % TWO_32, at);
  target.writeUInt32LE(Math.floor(value / TWO_32), at + 4);
}

export function readU64LE(source: Buffer, at: number): number {
  return source.readUInt32LE(at + 4) * TWO_32 + source.readUInt32LE(at);
}

const seed = (segment: number, position: number): number => (Math.imul(segment, 0x9e3779b1) ^ position) >>> 0;

/** Writes the header of a record that will stand at `position` of `segment`. */
export function encodeHeader(
  target: Buffer,
  at: number,
  header: RecordHeader,
  segment: number,
  position: number,
): void {
  target.writeUInt32LE(MAGIC_U32, at);
  target.writeUInt32LE(header.bodyCrc, at + 8);
  target.writeUInt32LE(header.bodyLength, at + 12);
  target[at + 16] = header.kind;
  target[at + 17] = header.stream;
  target[at + 18] = header.turnStart ? FLAG_TURN_START : 0;
  target[at + 19] = 0;
  target.writeInt32LE(header.ref.childIndex, at + 20);
  target.writeUInt32LE(header.ref.attempt, at + 24);
  target.writeUInt16LE(header.ref.task ?? 0, at + 28);
  target.writeUInt16LE(header.ref.container ?? 0, at + 30);
  writeU64LE(target, header.ref.jobNumber, at + 32);
  writeU64LE(target, header.offset, at + 40);
  writeU64LE(target, header.length, at + 48);
  writeU64LE(target, header.observedAtMs, at + 56);
  const crc = crc32(target.subarray(at + 8, at + HEADER_BYTES), seed(segment, position));
  target.writeUInt32LE(crc, at + 4);
}

/** The header at `at` of `source`, or undefined when there is none that is valid for that place. */
export function decodeHeader(source: Buffer, at: number, segment: number, position: number): RecordHeader | undefined {
  if (source.length - at < HEADER_BYTES || source.readUInt32LE(at) !== MAGIC_U32) {
    return undefined;
  }
  const crc = crc32(source.subarray(at + 8, at + HEADER_BYTES), seed(segment, position));
  const kind = source[at + 16];
  const stream = source[at + 17];
  if (source.readUInt32LE(at + 4) !== crc || !isKind(kind) || !isStream(stream)) {
    return undefined;
  }
  return {
    kind,
    stream,
    turnStart: ((source[at + 18] ?? 0) & FLAG_TURN_START) !== 0,
    ref: {
      jobNumber: readU64LE(source, at + 32),
      childIndex: source.readInt32LE(at + 20),
      attempt: source.readUInt32LE(at + 24),
      task: source.readUInt16LE(at + 28),
      container: source.readUInt16LE(at + 30),
    },
    offset: readU64LE(source, at + 40),
    length: readU64LE(source, at + 48),
    observedAtMs: readU64LE(source, at + 56),
    bodyLength: source.readUInt32LE(at + 12),
    bodyCrc: source.readUInt32LE(at + 8),
  };
}

const isKind = (value: number | undefined): value is RecordKind => value === 1 || value === 2 || value === 3;
const isStream = (value: number | undefined): value is StreamIndex => value === 0 || value === 1 || value === 2;

/** A final length for each stream; undefined: the stream ends at what is known of it. */
export type Finals = readonly [number | undefined, number | undefined, number | undefined];

export const FINALS_BYTES = 24;
const PRESUMED = Number.MAX_SAFE_INTEGER;

export function encodeFinals(target: Buffer, at: number, finals: Finals): void {
  finals.forEach((final, index) => {
    writeU64LE(target, final ?? PRESUMED, at + index * 8);
  });
}

export function decodeFinals(source: Buffer, at: number): Finals {
  const final = (index: number): number | undefined => {
    const value = readU64LE(source, at + index * 8);
    return value === PRESUMED ? undefined : value;
  };
  return [final(0), final(1), final(2)];
}
