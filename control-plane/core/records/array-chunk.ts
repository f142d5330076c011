import { known } from '../assert.ts';
import type { EndCause, JobState } from '../types.ts';
import type { EndedAttempt } from '../view.ts';
import { RecordReader, RecordWriter } from './codec.ts';
import type { PlacedRecord } from './live-job.ts';

/*
 * What is known of an array's children, in chunks of 512 (DESIGN D5). A turn that touched a chunk writes one delta of it: the
 * records of the children that changed. Deltas of a chunk are merged in order, a later record of a child replaces an earlier
 * one; now and then they are folded into one, which looks the same. A child without a record has never been placed.
 *
 * Nodes, incarnations and reasons are texts of the chunk, told once and named by number, so that the record of an ended
 * child has about 40 bytes.
 */

/** Children of a chunk. */
export const CHUNK_CHILDREN = 512;

/** Bytes of one chunk's texts beyond which reasons are not kept any more; the accounting record has them still. */
const MAX_CHUNK_TEXT_BYTES = 32 * 1024;

/** Waits to be tried again; whether it is ready follows from the array. */
export interface WaitingChild {
  readonly kind: 'waiting';
  readonly attempt: number;
}

export interface PlacedChild extends PlacedRecord {
  readonly kind: 'placed';
  readonly attempt: number;
  /** Somebody asked for its end. */
  readonly stopping: boolean;
}

export interface EndedChild {
  readonly kind: 'ended';
  readonly state: JobState;
  readonly attempts: number;
  readonly stoppedAtMs: number;
  readonly statusReason: string;
  readonly cause: EndCause;
  /** Undefined when it ended while it waited. */
  readonly lastAttempt: EndedAttempt | undefined;
}

export type ChildRecord = WaitingChild | PlacedChild | EndedChild;

const VERSION = 1;
const KIND = { waiting: 1, placed: 2, ended: 3 } as const;

const out = new RecordWriter();

/** The texts of one chunk. */
export class ChunkTexts {
  private readonly texts: string[] = [];
  private readonly numbers = new Map<string, number>();
  private bytes = 0;
  /** Texts that stand in a record already. */
  written = 0;

  get size(): number {
    return this.texts.length;
  }

  get(number: number): string {
    return known(this.texts[number], 'text of a chunk');
  }

  /** The text's number; `droppable` texts are given up when there are too many of them. */
  number(text: string, droppable: boolean): number {
    const found = this.numbers.get(text);
    if (found !== undefined) return found;
    if (droppable && this.bytes + text.length > MAX_CHUNK_TEXT_BYTES) return this.number('', false);
    this.bytes += text.length;
    this.numbers.set(text, this.texts.length);
    return this.texts.push(text) - 1;
  }

  /** Takes over a text of a record, under its number there. */
  restore(number: number, text: string): void {
    if (number < this.texts.length) return;
    this.texts.push(text);
    this.numbers.set(text, number);
    this.bytes += text.length;
    this.written = this.texts.length;
  }
}

/** The bytes of one child's record. */
export function encodeChild(child: ChildRecord, texts: ChunkTexts): Uint8Array {
  out.start(KIND[child.kind]);
  switch (child.kind) {
    case 'waiting':
      return out.uint(child.attempt).finish();
    case 'placed':
      out.uint(child.attempt).uint(texts.number(child.node, false)).uint(texts.number(child.incarnation, false));
      out.uint(child.sequence).uint(child.epoch).uint(child.placedAtMs).uint(child.startedAtMs);
      out.byte((child.accepted ? 1 : 0) | (child.stopping ? 2 : 0)).uint(texts.number(child.stopReason, true));
      return out.optional(child.stopGraceSeconds).finish();
    case 'ended':
      out.byte(child.state).uint(child.attempts).uint(child.stoppedAtMs);
      out.uint(texts.number(child.statusReason, true)).byte(child.cause);
      if (child.lastAttempt === undefined) return out.byte(0).finish();
      writeLastAttempt(child.lastAttempt, child, texts);
      return out.finish();
  }
}

function writeLastAttempt(attempt: EndedAttempt, child: EndedChild, texts: ChunkTexts): void {
  // Times stand as differences, which are short; those that are unknown are 0.
  out.byte(1).uint(attempt.attempt).uint(texts.number(attempt.node, false));
  out.uint(child.stoppedAtMs - attempt.placedAtMs).optional(sinceStart(attempt, child));
  out.byte(attempt.cause).optional(attempt.exitCode).optional(attempt.signal);
  out.uint(texts.number(attempt.reason, true)).optional(attempt.peakMemoryBytes).optional(attempt.cpuTimeUs);
  out.uint(attempt.logLengths.length);
  for (const length of attempt.logLengths) out.uint(length);
  out.uint(texts.number(attempt.imageDigest, true));
}

function sinceStart(attempt: EndedAttempt, child: EndedChild): number | undefined {
  return attempt.startedAtMs === 0 ? undefined : child.stoppedAtMs - attempt.startedAtMs;
}

export function decodeChild(bytes: Uint8Array, texts: Pick<ChunkTexts, 'get'>): ChildRecord {
  const input = new RecordReader(bytes);
  switch (input.version(KIND.waiting, KIND.placed, KIND.ended)) {
    case KIND.waiting:
      return { kind: 'waiting', attempt: input.uint() };
    case KIND.placed:
      return readPlaced(input, texts);
    default:
      return readEnded(input, texts);
  }
}

function readPlaced(input: RecordReader, texts: Pick<ChunkTexts, 'get'>): PlacedChild {
  const attempt = input.uint();
  const node = texts.get(input.uint());
  const incarnation = texts.get(input.uint());
  const sequence = input.uint();
  const epoch = input.uint();
  const placedAtMs = input.uint();
  const startedAtMs = input.uint();
  const flags = input.byte();
  const stopReason = texts.get(input.uint());
  return {
    kind: 'placed',
    attempt,
    node,
    incarnation,
    sequence,
    epoch,
    placedAtMs,
    startedAtMs,
    accepted: (flags & 1) !== 0,
    stopping: (flags & 2) !== 0,
    stopReason,
    stopGraceSeconds: input.optional(),
  };
}

function readEnded(input: RecordReader, texts: Pick<ChunkTexts, 'get'>): EndedChild {
  const state = input.byte() as JobState;
  const attempts = input.uint();
  const stoppedAtMs = input.uint();
  const statusReason = texts.get(input.uint());
  const cause = input.byte() as EndCause;
  const ended = { kind: 'ended', state, attempts, stoppedAtMs, statusReason, cause } as const;
  if (input.byte() === 0) return { ...ended, lastAttempt: undefined };
  const attempt = input.uint();
  const node = texts.get(input.uint());
  const placedAtMs = stoppedAtMs - input.uint();
  const ran = input.optional();
  const lastAttempt: EndedAttempt = {
    attempt,
    node,
    placedAtMs,
    startedAtMs: ran === undefined ? 0 : stoppedAtMs - ran,
    stoppedAtMs,
    cause: input.byte() as EndCause,
    exitCode: input.optional(),
    signal: input.optional(),
    statusReason,
    reason: texts.get(input.uint()),
    peakMemoryBytes: input.optional(),
    cpuTimeUs: input.optional(),
    logLengths: Array.from({ length: input.uint() }, () => input.uint()),
    imageDigest: texts.get(input.uint()),
  };
  return { ...ended, lastAttempt };
}

/** Children's records, by their place in the chunk. */
export type ChunkEntries = Iterable<readonly [place: number, record: Uint8Array]>;

/** A delta: the texts that no record has yet (`all`: every text, for a record that replaces all before it) and children. */
export function encodeChunk(texts: ChunkTexts, entries: ChunkEntries, all: boolean): Uint8Array {
  const from = all ? 0 : texts.written;
  out
    .start(VERSION)
    .uint(from)
    .uint(texts.size - from);
  for (let number = from; number < texts.size; number++) out.text(texts.get(number));
  for (const [place, record] of entries) out.uint(place).bytes(record);
  texts.written = texts.size;
  return out.finish();
}

/** Merges a chunk's records in their order. */
export class ChunkContent {
  readonly texts = new ChunkTexts();
  private readonly entries = new Map<number, Uint8Array>();

  add(record: Uint8Array): void {
    const input = new RecordReader(record);
    input.version(VERSION);
    const from = input.uint();
    const count = input.uint();
    for (let number = from; number < from + count; number++) this.texts.restore(number, input.text());
    while (!input.atEnd) this.entries.set(input.uint(), input.bytes());
  }

  get(place: number): ChildRecord | undefined {
    const bytes = this.entries.get(place);
    return bytes === undefined ? undefined : decodeChild(bytes, this.texts);
  }

  /** As they stand, by place. */
  raw(): ReadonlyMap<number, Uint8Array> {
    return this.entries;
  }
}
