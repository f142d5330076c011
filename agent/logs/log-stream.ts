import { join } from 'node:path';
import { type AttemptId, LogStream } from '@galley/proto';
import type { AttemptKey } from '../journal/attempt-key.ts';
import type { LogPolicy } from './policy.ts';

const FILE_NAMES: Readonly<Record<number, string>> = {
  [LogStream.OUTPUT]: 'output',
  [LogStream.STDOUT]: 'stdout',
  [LogStream.STDERR]: 'stderr',
};

/** The streams of an attempt: one in the order written, or two. */
export function streamsOf(separate: boolean): readonly LogStream[] {
  return separate ? [LogStream.STDOUT, LogStream.STDERR] : [LogStream.OUTPUT];
}

/** What is kept of a stream across restarts of the agent. */
export interface SavedStream {
  readonly stream: LogStream;
  readonly acked: number;
  /** Bytes from `head` to here are given up; 0: none. */
  readonly gapTo: number;
}

/**
 * One file that a job writes, as it is shipped: `acked` ≤ `sent` ≤ the file's length. Bytes between the policy's head and
 * `gapTo` have given way.
 */
export class OutputStream {
  readonly key: AttemptKey;
  readonly id: AttemptId;
  readonly jobNumber: bigint;
  readonly stream: LogStream;
  readonly path: string;
  readonly #policy: LogPolicy;
  /** The store has everything before, synced. */
  acked: number;
  /** Handed to the connection. */
  sent: number;
  /** Length when last looked at. */
  size: number;
  final: number | undefined;
  gapTo: number;
  /** Whether it waits for its turn in the shipper. */
  queued = false;
  /** Times in a row that the store asked for the same offset again. */
  refusals = 0;
  #tokens: number;
  #tokensAt = performance.now();

  constructor(
    attempt: {
      readonly key: AttemptKey;
      readonly id: AttemptId;
      readonly jobNumber: bigint;
      readonly directory: string;
    },
    stream: LogStream,
    policy: LogPolicy,
    saved: SavedStream | undefined,
  ) {
    this.key = attempt.key;
    this.id = attempt.id;
    this.jobNumber = attempt.jobNumber;
    this.stream = stream;
    this.path = join(attempt.directory, FILE_NAMES[stream] ?? 'output');
    this.#policy = policy;
    this.acked = this.sent = this.size = saved?.acked ?? 0;
    this.gapTo = saved?.gapTo ?? 0;
    this.#tokens = policy.burstBytes;
  }

  get saved(): SavedStream {
    return { stream: this.stream, acked: this.acked, gapTo: this.gapTo };
  }

  /** Everything that there will ever be is at the store. */
  get shipped(): boolean {
    return this.final !== undefined && this.acked >= this.final;
  }

  /** Known bytes that have not been sent. */
  get pending(): number {
    return (this.final ?? this.size) - this.sent;
  }

  /** The bytes that have given way, if `sent` has come to them. */
  get gapHere(): number {
    const inGap = this.gapTo > 0 && this.sent >= this.#policy.headBytes && this.sent < this.gapTo;
    return inGap ? this.gapTo - this.sent : 0;
  }

  /** Where reading from `sent` must stop: before the gap, or at the end. */
  get readableTo(): number {
    const end = this.final ?? this.size;
    return this.gapTo > 0 && this.sent < this.#policy.headBytes ? Math.min(end, this.#policy.headBytes) : end;
  }

  /** Bytes that may be sent now. A job that has ended is not slowed down. */
  allowance(): number {
    if (this.final !== undefined) return Number.MAX_SAFE_INTEGER;
    const now = performance.now();
    const refill = ((now - this.#tokensAt) / 1000) * this.#policy.sustainedBytesPerSecond;
    this.#tokensAt = now;
    this.#tokens = Math.min(this.#policy.burstBytes, this.#tokens + refill);
    return Math.floor(this.#tokens);
  }

  /** Counts bytes as sent. */
  advance(bytes: number, paid: boolean): void {
    this.sent += bytes;
    if (paid) this.#tokens -= bytes;
  }

  /** The end of what has to give way now, or 0. A step is only taken when it is worth a helper process. */
  nextGapEnd(): number {
    const { headBytes, tailBytes, punchBytes } = this.#policy;
    const end = Math.floor((this.size - tailBytes) / BLOCK_BYTES) * BLOCK_BYTES;
    return end - Math.max(headBytes, this.gapTo) >= punchBytes ? end : 0;
  }

  /** Bytes on disk, as far as they are this stream's doing. */
  get onDisk(): number {
    return this.gapTo === 0 ? this.size : this.size - (this.gapTo - this.#policy.headBytes);
  }
}

/** Holes are punched in whole blocks of the file system. */
const BLOCK_BYTES = 4096;
