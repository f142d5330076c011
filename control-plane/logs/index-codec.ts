import { crc32 } from 'node:zlib';
import type { AttemptRef } from './log-store.ts';
import {
  decodeFinals,
  encodeFinals,
  FINALS_BYTES,
  type Finals,
  type RecordHeader,
  RecordKind,
  readU64LE,
  type StreamIndex,
  writeU64LE,
} from './record.ts';

/**
 * Keys of the index, big endian so that they sort: 1, job number u64, child index + 1 u32, attempt u32, task u16,
 * container u16, tag u8, offset u64. Tag 0 is the attempt's end, tag 1 to 3 a stream. Keys that start with 0 are the index's own.
 */
const PREFIX_BYTES = 21;
export const KEY_BYTES = PREFIX_BYTES + 9;
const TWO_32 = 2 ** 32;

export const META_CHECKPOINT = Buffer.from([0, 1]);
export const META_HOLES_BEFORE = Buffer.from([0, 2]);
export const FIRST_DATA_KEY = Buffer.from([1]);
export const AFTER_DATA_KEYS = Buffer.from([2]);

export type KeyTag = 'end' | StreamIndex;

export function indexKey(ref: AttemptRef, tag: KeyTag, offset: number): Buffer {
  const key = Buffer.allocUnsafe(KEY_BYTES);
  key[0] = 1;
  writeU64BE(key, ref.jobNumber, 1);
  key.writeUInt32BE(ref.childIndex + 1, 9);
  key.writeUInt32BE(ref.attempt, 13);
  key.writeUInt16BE(ref.task ?? 0, 17);
  key.writeUInt16BE(ref.container ?? 0, 19);
  key[PREFIX_BYTES] = tag === 'end' ? 0 : tag + 1;
  writeU64BE(key, offset, PREFIX_BYTES + 1);
  return key;
}

export interface KeyParts {
  readonly jobNumber: number;
  readonly tag: KeyTag;
  readonly offset: number;
}

export function parseKey(key: Buffer): KeyParts | undefined {
  const tag = key[PREFIX_BYTES];
  if (key.length !== KEY_BYTES || tag === undefined || tag > 3) {
    return undefined;
  }
  return {
    jobNumber: readU64BE(key, 1),
    tag: tag === 0 ? 'end' : ((tag - 1) as StreamIndex),
    offset: readU64BE(key, PREFIX_BYTES + 1),
  };
}

/** Where a record stands, and what a reader wants to know before it reads it. */
export interface IndexEntry {
  readonly segment: number;
  readonly position: number;
  /** Header and body, bytes. */
  readonly size: number;
  readonly kind: RecordKind;
  /** Bytes of the stream. */
  readonly length: number;
  readonly observedAtMs: number;
  /** Of an end record. */
  readonly finals: Finals | undefined;
}

const VALUE_BYTES = 33;

/** 0 crc (seeded with the key's), 4 segment, 8 position, 12 size, 16 kind, 17 length, 25 time, 33 final lengths. */
export function encodeEntry(key: Buffer, entry: IndexEntry): Buffer {
  const value = Buffer.allocUnsafe(VALUE_BYTES + (entry.finals ? FINALS_BYTES : 0));
  value.writeUInt32LE(entry.segment, 4);
  value.writeUInt32LE(entry.position, 8);
  value.writeUInt32LE(entry.size, 12);
  value[16] = entry.kind;
  writeU64LE(value, entry.length, 17);
  writeU64LE(value, entry.observedAtMs, 25);
  if (entry.finals) {
    encodeFinals(value, VALUE_BYTES, entry.finals);
  }
  value.writeUInt32LE(crc32(value.subarray(4), crc32(key)), 0);
  return value;
}

/** Undefined when the value does not match its checksum: LevelDB does not check what it reads. */
export function decodeEntry(key: Buffer, value: Buffer): IndexEntry | undefined {
  if (value.length < VALUE_BYTES || value.readUInt32LE(0) !== crc32(value.subarray(4), crc32(key))) {
    return undefined;
  }
  const kind = value[16] as RecordKind;
  return {
    segment: value.readUInt32LE(4),
    position: value.readUInt32LE(8),
    size: value.readUInt32LE(12),
    kind,
    length: readU64LE(value, 17),
    observedAtMs: readU64LE(value, 25),
    finals: kind === RecordKind.end ? decodeFinals(value, VALUE_BYTES) : undefined,
  };
}

export interface IndexPut {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** The key and the entry of a record that stands at `at`. */
export function indexPut(
  header: RecordHeader,
  finals: IndexEntry['finals'],
  at: { readonly segment: number; readonly position: number },
  size: number,
): IndexPut {
  const key = indexKey(header.ref, header.kind === RecordKind.end ? 'end' : header.stream, header.offset);
  const { kind, length, observedAtMs } = header;
  return { key, value: encodeEntry(key, { ...at, size, kind, length, observedAtMs, finals }) };
}

function writeU64BE(target: Buffer, value: number, at: number): void {
  target.writeUInt32BE(Math.floor(value / TWO_32), at);
  target.writeUInt32BE(value % TWO_32, at + 4);
}

function readU64BE(source: Buffer, at: number): number {
  return source.readUInt32BE(at) * TWO_32 + source.readUInt32BE(at + 4);
}
