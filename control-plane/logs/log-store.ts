/**
 * The log store: what jobs wrote, kept by the control plane after the job and its node are gone.
 *
 * A stream is the sequence of bytes that one attempt wrote to one of its outputs, addressed by byte offset from 0. It only
 * grows, without holes: bytes that nobody has any more are written down as a gap with a reason. Appending is idempotent by
 * offset, so an agent that does not know what arrived sends it again.
 */

/** One merged stream in the order written is the default; two are kept apart on request. */
export type StreamKind = 'output' | 'stdout' | 'stderr';

/** Names an attempt, and within it the task of a multi-node job and the container, both 0 where there is one. */
export interface AttemptRef {
  /** Cluster-wide job number, from 1. */
  readonly jobNumber: number;
  /** Index of an array child, -1 for a job that is none. */
  readonly childIndex: number;
  /** From 1. */
  readonly attempt: number;
  readonly task?: number;
  readonly container?: number;
}

interface ChunkPlace {
  readonly ref: AttemptRef;
  readonly stream: StreamKind;
  /** Byte offset in the stream. */
  readonly offset: number;
  /** Unix ms at which the agent saw it; for a gap, when it was written down. */
  readonly observedAtMs: number;
}

export interface DataChunk extends ChunkPlace {
  readonly kind: 'data';
  /** At most `MAX_CHUNK_BYTES`. Must not be changed until the append has settled. */
  readonly data: Uint8Array;
}

export interface GapChunk extends ChunkPlace {
  readonly kind: 'gap';
  /** Bytes of the stream that are missing. */
  readonly length: number;
  /** The agent's words, at most `MAX_REASON_BYTES`, or one of the store's own: `GAP_EXPIRED`, `GAP_DAMAGED`. */
  readonly reason: string;
}

export type LogChunk = DataChunk | GapChunk;

/** The store's gap for bytes that retention dropped. */
export const GAP_EXPIRED = 'expired';
/** The store's gap for bytes on disk that do not match their checksum or cannot be read. */
export const GAP_DAMAGED = 'damaged';

export const MAX_CHUNK_BYTES = 1024 * 1024;
export const MAX_REASON_BYTES = 256;
/** Chunks and bytes of one `append`. */
export const MAX_APPEND_CHUNKS = 10_000;
export const MAX_APPEND_BYTES = 16 * 1024 * 1024;
export const DEFAULT_READ_BYTES = 1024 * 1024;
export const MAX_READ_BYTES = 4 * 1024 * 1024;
export const MAX_READ_CHUNKS = 4096;
/** How far back `tail` looks for line ends, in bytes of data. */
export const MAX_TAIL_BYTES = 4 * 1024 * 1024;

/** Why one chunk was not taken. The others of the same call were. */
export interface Refusal {
  /** Index in the chunks of the call. */
  readonly index: number;
  /**
   * `AHEAD`: the chunk starts after the known end; send from `resendFrom`, as a gap where the bytes are gone.
   * `PAST_FINAL`: it reaches past the final length that the attempt's end reported; it is not wanted.
   */
  readonly code: 'AHEAD' | 'PAST_FINAL';
  /** The known end of the stream, bytes. */
  readonly resendFrom: number;
  readonly message: string;
}

export interface AppendResult {
  readonly refused: readonly Refusal[];
}

export interface ReadRequest {
  readonly ref: AttemptRef;
  readonly stream: StreamKind;
  readonly offset: number;
  /** Bytes of data (gaps are free); default `DEFAULT_READ_BYTES`, at most `MAX_READ_BYTES`. */
  readonly maxBytes?: number;
}

export interface TailRequest {
  readonly ref: AttemptRef;
  readonly stream: StreamKind;
  /** The last bytes or the last lines (a missing final newline ends a line too), whichever is given; within `MAX_TAIL_BYTES`. */
  readonly last: { readonly bytes: number } | { readonly lines: number };
}

export interface ReadResult {
  /** Contiguous from the offset asked for; the first and last may be part of what was appended. */
  readonly chunks: readonly LogChunk[];
  readonly nextOffset: number;
  /** The attempt has ended and `nextOffset` is at the final length: nothing will follow. */
  readonly ended: boolean;
  /** Bytes that the store holds or knows to be missing. */
  readonly knownLength: number;
}

export interface FollowOptions {
  readonly stream: StreamKind;
  /** Where to start: a byte offset (default 0), or what `tail` would find. */
  readonly from?: { readonly offset: number } | TailRequest['last'];
  /** Ends the iteration quietly. */
  readonly signal?: AbortSignal;
}

export interface StreamLength {
  readonly known: number;
  /** Present once the attempt has ended. */
  readonly final: number | undefined;
}

export interface RetentionBudget {
  /** Index entries to remove in this call, default 50,000. */
  readonly records?: number;
}

export interface RetentionResult {
  readonly segments: number;
  readonly bytes: number;
  readonly records: number;
  /** False: the budget ran out first; call again. */
  readonly done: boolean;
}

export interface LogUsage {
  readonly segments: number;
  /** Bytes in segments, without the index. */
  readonly bytes: number;
  readonly maxBytes: number;
  /** Free bytes of the file system for this user. */
  readonly freeBytes: number;
  /** Unix ms of the last write to the oldest segment; undefined when there is none. */
  readonly oldestMs: number | undefined;
  readonly followers: number;
}

export interface LogStore {
  /**
   * Resolves once every chunk that was not refused is synced, those that were there before included; concurrent calls
   * share a sync. What overlaps the known end is trimmed, and the first bytes that arrived stay. Rejects as a whole with
   * `INVALID`, `NO_SPACE`, `OVERLOADED`, `WRITE_FAILED`, `UNAVAILABLE` or `CLOSED`; then send the same again.
   */
  append(chunks: readonly LogChunk[]): Promise<AppendResult>;

  /**
   * The end-of-attempt report. A stream that is not named ends at what is known of it, and grows if more arrives late (the
   * end of an attempt whose node was lost). Bytes below a final length may still arrive. Idempotent; rejects with
   * `CONFLICT` when a final length is below what is known or differs from one that was reported before.
   */
  end(ref: AttemptRef, finalLengths: Readonly<Partial<Record<StreamKind, number>>>): Promise<void>;

  read(request: ReadRequest): Promise<ReadResult>;
  tail(request: TailRequest): Promise<ReadResult>;

  /**
   * Every byte from the starting point, once, waiting for more; returns at the final length. Throws `CLOSED` when the store closes:
   * follow again from the end of the last chunk.
   */
  follow(ref: AttemptRef, options: FollowOptions): AsyncIterable<LogChunk>;

  lengths(ref: AttemptRef): Promise<Readonly<Record<StreamKind, StreamLength>>>;

  /** Drops whole segments, oldest first, that were last written before `timeMs` or by which the store exceeds its size bound. */
  deleteBefore(timeMs: number, budget?: RetentionBudget): Promise<RetentionResult>;

  usage(): Promise<LogUsage>;

  /** Waits for what was accepted. Idempotent. */
  close(): Promise<void>;
}

/** How long logs are kept by default. */
export const DEFAULT_RETENTION_MS = 30 * 24 * 3600 * 1000;

export type LogStoreErrorCode =
  /** A value out of range; the message names field, constraint and value. */
  | 'INVALID'
  /** Less free space than the floor, or the file system is full: the sender keeps its data and tries again later. */
  | 'NO_SPACE'
  /** Too many bytes wait to be written: try again later. */
  | 'OVERLOADED'
  /** A final length contradicts what is stored. */
  | 'CONFLICT'
  /** A write failed; its outcome is unknown. Sending again is safe; when it persists, the store must be reopened. */
  | 'WRITE_FAILED'
  /** The index is being repaired or cannot be opened; what is synced is safe. Try again. */
  | 'UNAVAILABLE'
  /** More followers than the bound. */
  | 'TOO_MANY_FOLLOWERS'
  /** Another store has the directory open. */
  | 'LOCKED'
  /** A segment was written by another format version. */
  | 'FORMAT'
  | 'CLOSED';

/** The one error type of this boundary. */
export class LogStoreError extends Error {
  override readonly name = 'LogStoreError';
  readonly code: LogStoreErrorCode;
  constructor(code: LogStoreErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
