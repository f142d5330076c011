/**
 * The store: where the control plane's state survives. One interface, several stores behind one contract suite
 * (`contract.ts`): LevelDB, memory, and a faulty one that fails the way LevelDB was seen to fail.
 *
 * Keys and values are bytes. Values come back exactly as they were committed; a store that keeps them on disk adds and
 * checks a checksum of its own. Reads are ordered by key, byte by byte.
 */

/** Where a batch stands in the store's history. Epochs only rise; within an epoch sequences are contiguous from 1. */
export interface Position {
  readonly epoch: number;
  readonly sequence: number;
}

/** One record to put (`value` present) or to delete (`value` undefined). */
export interface Change {
  readonly key: Uint8Array;
  readonly value: Uint8Array | undefined;
}

/** A half-open key range, `gte` included and `lt` excluded, ascending unless `reverse`. */
export interface ScanRange {
  readonly gte: Uint8Array;
  readonly lt: Uint8Array;
  readonly reverse?: boolean;
}

export interface Entry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/**
 * What the store found when it was opened. Anything but `whole` means that committed batches are missing: such a store
 * can be read, but nothing may be scheduled from it until an operator accepts the loss (which raises the epoch).
 */
export type Integrity =
  | { readonly kind: 'whole' }
  | { readonly kind: 'behind'; readonly witness: Position; readonly source: string }
  | { readonly kind: 'hole'; readonly missing: number; readonly firstMissing: Position };

export interface Store {
  /** The position of the last batch that returned OK (or that was found on disk at open). `{epoch: 1, sequence: 0}` when new. */
  readonly position: Position;
  readonly integrity: Integrity;

  /**
   * Commits one batch atomically and durably: after the promise resolves, a power cut cannot take it. `position` must be
   * the successor of `this.position` (same epoch, sequence + 1) or the first of a higher epoch (sequence 1).
   * At most one commit is in flight; a second call before the first returned is a programming error and throws.
   * At most `MAX_BATCH_BYTES` of keys and values; a key has 1 to `MAX_KEY_BYTES` bytes and its first is not 0xff (those
   * are the store's own). The bytes may be reused as soon as the call returned.
   *
   * A store that is not `whole` takes only the first batch of an epoch higher than its own and its witness's: committing
   * it *is* accepting the loss (`acceptLoss` does just that), and makes the store whole.
   *
   * A rejection with code `FULL` means that nothing was written and that the handle lives: the same batch may be
   * committed again when the disk has room. After a rejection with code `WRITE_FAILED` the handle is dead: the batch may or may not be on disk, every later call
   * rejects with `DEAD`, and the owner closes the store, opens it anew and rebuilds from what is there.
   */
  commit(position: Position, changes: readonly Change[]): Promise<void>;

  /** The value, or undefined. Rejects with `CORRUPT` when the checksum does not match. */
  get(key: Uint8Array): Promise<Uint8Array | undefined>;
  /** The values in the order of the keys; undefined where there is none. */
  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]>;

  /** Pages of at most about `pageBytes` (default 1 MiB) from one snapshot taken when the iteration starts. */
  scan(range: ScanRange, options?: { pageBytes?: number }): AsyncIterable<Entry[]>;

  /** Closes the store and releases its lock. Idempotent. Waits for a commit in flight. */
  close(): Promise<void>;
}

/** The longest key, in bytes. */
export const MAX_KEY_BYTES = 1024;

/** The largest batch that `commit` takes, in bytes of keys and values. Also what a replicated engine accepts in one transaction. */
export const MAX_BATCH_BYTES = 1024 * 1024;

export type StoreErrorCode =
  /** Another process holds the data directory. */
  | 'LOCKED'
  /** The directory holds no store; initialise it explicitly. */
  | 'NOT_INITIALISED'
  /** An initialisation found a store already there. */
  | 'ALREADY_INITIALISED'
  /** The store was written by another format version. */
  | 'FORMAT'
  /** The directory is on a network or memory file system. */
  | 'FILE_SYSTEM'
  /** A record or a file does not match its checksum, or a file that must exist is missing. */
  | 'CORRUPT'
  /**
   * The disk has no room for the ballast. A commit answers it before it wrote anything, and may be repeated on the same
   * handle; opening answers it when LevelDB cannot open even with the ballast released.
   */
  | 'FULL'
  /** A commit did not return OK: its outcome is unknown and the handle is dead. */
  | 'WRITE_FAILED'
  /** The handle died or was closed earlier. */
  | 'DEAD';

/** The one error type of this boundary. `message` is a sentence for an operator that names the path and the remedy. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly code: StoreErrorCode;
  constructor(code: StoreErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
