import { OrderedMap } from './ordered-map.ts';
import { comparePositions, FIRST_POSITION } from './position.ts';
import type { Change, Integrity, Position } from './store.ts';
import { StoreError } from './store.ts';

/** Beyond this many batches the older half of the log is moved to the tables, as LevelDB does when its log is long. */
const LOGGED_BATCHES = 1000;

export interface LoggedBatch {
  readonly position: Position;
  readonly changes: readonly Change[];
}

/**
 * What outlives a memory store's handle: the counterpart of a store's directory, laid out as LevelDB lays it out, so
 * that it can fail like it. Batches are appended to a log; opening recovers the log into the tables and begins a new one;
 * what stands in the tables is safe, and only the log can lose something.
 */
export class MemoryDisk {
  readonly clusterId: string;
  #log: LoggedBatch[] = [];
  #tables = OrderedMap.EMPTY;
  #newest: Position = FIRST_POSITION;
  #missing = 0;
  #firstMissing: Position | undefined;
  #head: Position = FIRST_POSITION;
  #handle: object | undefined;

  constructor(options: { clusterId: string }) {
    this.clusterId = options.clusterId;
  }

  /** Takes the lock and recovers. Throws `LOCKED`, or whatever the fault model says. */
  open(handle: object): { readonly records: OrderedMap; readonly position: Position; readonly integrity: Integrity } {
    if (this.#handle !== undefined) {
      throw new StoreError('LOCKED', 'the memory disk is in use by another handle. Close that one first.');
    }
    this.#recover(this.surviving(this.#log));
    this.#log = [];
    this.#handle = handle;
    const integrity = this.#judge();
    if (integrity.kind === 'whole') this.#head = this.#newest;
    return { records: this.#tables, position: this.#newest, integrity };
  }

  /** Releases the lock if this handle holds it. */
  close(handle: object): void {
    if (this.#handle === handle) this.#handle = undefined;
  }

  /** kill -9 of the owner: its handle is dead from here on, and the lock is free. A commit in flight may be on disk. */
  crash(): void {
    this.#handle = undefined;
  }

  holds(handle: object): boolean {
    return this.#handle === handle;
  }

  /** Writes a batch. Throws when the write fails. */
  append(batch: LoggedBatch): void {
    this.#log.push(batch);
    if (this.#log.length > LOGGED_BATCHES) this.#recover(this.#log.splice(0, LOGGED_BATCHES / 2));
  }

  /** The batch was acknowledged: the witness may see it. */
  acknowledged(position: Position): void {
    this.#head = position;
  }

  /** What recovery reads of the log. */
  protected surviving(log: LoggedBatch[]): LoggedBatch[] {
    return log;
  }

  #recover(log: readonly LoggedBatch[]): void {
    for (const { position, changes } of log) {
      this.#tables = this.#tables.with(changes);
      this.#count(position);
    }
  }

  #count(position: Position): void {
    if (position.epoch > this.#newest.epoch) this.#missing = 0;
    const expected = position.epoch > this.#newest.epoch ? 1 : this.#newest.sequence + 1;
    if (position.sequence > expected) {
      if (this.#missing === 0) this.#firstMissing = { epoch: position.epoch, sequence: expected };
      this.#missing += position.sequence - expected;
    }
    this.#newest = position;
  }

  #judge(): Integrity {
    if (comparePositions(this.#newest, this.#head) < 0) {
      return { kind: 'behind', witness: this.#head, source: 'HEAD' };
    }
    if (this.#missing > 0 && this.#firstMissing !== undefined) {
      return { kind: 'hole', missing: this.#missing, firstMissing: this.#firstMissing };
    }
    return { kind: 'whole' };
  }
}
