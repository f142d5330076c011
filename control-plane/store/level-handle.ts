import type { Ballast } from './ballast.ts';
import type { MarkerCensus } from './batch-markers.ts';
import { EMPTY_RANGE, encodeMarker, MARKER_SLOTS } from './batch-markers.ts';
import { seal, unseal } from './checksum.ts';
import { callerRange, checkCommit } from './commit-rules.ts';
import { HeadWriter } from './head-witness.ts';
import type { Database } from './level-database.ts';
import type { CompiledLevelOptions } from './level-options.ts';
import type { DirectoryLock } from './lock.ts';
import { PAGE_BYTES, PAGE_ENTRIES } from './paging.ts';
import { comparePositions, describePosition } from './position.ts';
import type { Change, Entry, Integrity, Position, ScanRange, Store } from './store.ts';
import { StoreError } from './store.ts';
import { writeAheadLogs } from './store-layout.ts';

type Operation = { type: 'put'; key: Uint8Array; value: Uint8Array } | { type: 'del'; key: Uint8Array };

/** At so many batches since the last settling the next one begins; at a full ring commits wait for it. */
const SETTLE_AFTER_BATCHES = MARKER_SLOTS / 2;

/** What `openStore` puts together. */
export interface LevelStoreParts {
  readonly dir: string;
  readonly clusterId: string;
  readonly options: CompiledLevelOptions;
  readonly lock: DirectoryLock;
  readonly database: Database;
  readonly ballast: Ballast;
  /** Undefined when there is no witness to believe: the store then counts as behind itself. */
  readonly head: Position | undefined;
  readonly census: MarkerCensus;
}

/**
 * An open store on LevelDB; level-store.ts says how durability works.
 *
 * A handle is *live* until a write fails (then *dead*: only `close` works) or until `close` is called (then *closed*).
 * There is no way back; `openStore` makes a new one.
 */
export class LevelStore implements Store {
  /** The cluster whose state this is. */
  readonly clusterId: string;
  /** The directory's absolute path. */
  readonly dir: string;

  readonly #database: Database;
  readonly #lock: DirectoryLock;
  readonly #ballast: Ballast;
  readonly #head: HeadWriter;
  readonly #onWarning: (error: unknown) => void;
  readonly #sync: boolean;
  #state: 'live' | 'dead' | 'closed' = 'live';
  #position: Position;
  #integrity: Integrity;
  /** Every batch of this epoch up to here stands in a table file; every batch of earlier epochs does. */
  #settledSequence: number;
  #settling: Promise<void> | undefined;
  #committing: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  /** Use `openStore`. */
  constructor({ dir, clusterId, options, lock, database, ballast, head, census }: LevelStoreParts) {
    this.dir = dir;
    this.clusterId = clusterId;
    this.#database = database;
    this.#lock = lock;
    this.#ballast = ballast;
    this.#onWarning = options.onWarning;
    this.#sync = !options.unsafeNoSync;
    this.#position = census.newest;
    // Recovery wrote all that it read from logs into tables before open returned.
    this.#settledSequence = census.newest.sequence;
    this.#head = new HeadWriter(dir, head ?? census.newest, options.headIntervalMs, options.onWarning);
    this.#integrity = judge(census, head, dir);
    if (this.#integrity.kind === 'whole') this.#head.note(this.#position);
  }

  get position(): Position {
    return this.#position;
  }

  get integrity(): Integrity {
    return this.#integrity;
  }

  commit(position: Position, changes: readonly Change[]): Promise<void> {
    if (this.#state !== 'live') return Promise.reject(this.#deadError());
    if (this.#committing !== undefined) throw new Error('a commit is already in flight');
    checkCommit(this.#position, this.#integrity, position, changes);
    const operations = encode(position, changes);
    const committing = this.#commit(position, operations).finally(() => {
      this.#committing = undefined;
    });
    this.#committing = committing;
    return committing;
  }

  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    this.#requireLive();
    const sealed = await this.#read(() => this.#database.get(key));
    return sealed && unseal(key, sealed, this.dir);
  }

  async getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    this.#requireLive();
    const asked = [...keys];
    const found = await this.#read(() => this.#database.getMany(asked));
    return asked.map((key, index) => {
      const sealed = found[index];
      return sealed && unseal(key, sealed, this.dir);
    });
  }

  async *scan(range: ScanRange, options: { pageBytes?: number } = {}): AsyncGenerator<Entry[], void, undefined> {
    this.#requireLive();
    const bounds = callerRange(range);
    if (bounds === undefined) return;
    const iterator = this.#database.iterator({
      ...bounds,
      reverse: range.reverse ?? false,
      highWaterMarkBytes: options.pageBytes ?? PAGE_BYTES,
    });
    try {
      for (;;) {
        const page = await this.#read(() => iterator.nextv(PAGE_ENTRIES));
        if (page.length === 0) return;
        yield page.map(([key, sealed]) => ({ key, value: unseal(key, sealed, this.dir) }));
      }
    } finally {
      await iterator.close();
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#state = 'closed';
    await Promise.allSettled([this.#committing, this.#settling]);
    try {
      if (this.#integrity.kind === 'whole') await this.#head.flush();
      await this.#database.close();
    } finally {
      this.#lock.release();
    }
  }

  async #commit(position: Position, operations: Operation[]): Promise<void> {
    await this.#requireBallast();
    const raisesEpoch = position.epoch > this.#position.epoch;
    try {
      if (raisesEpoch) await this.#settle();
      else await this.#requireFreeSlot(position.sequence);
      await this.#database.batch(operations, { sync: this.#sync });
    } catch (error) {
      if (this.#state === 'live') this.#state = 'dead';
      throw new StoreError(
        'WRITE_FAILED',
        `${this.dir}: the batch at ${describePosition(position)} was not acknowledged by the disk; whether it is ` +
          'there shows when the store is opened again.',
        { cause: error },
      );
    }
    this.#position = position;
    this.#integrity = { kind: 'whole' };
    this.#head.note(position);
    if (raisesEpoch) {
      this.#settledSequence = 0;
      await this.#head.flush();
    }
    this.#settleInTime();
  }

  async #requireBallast(): Promise<void> {
    if (this.#ballast.held) return;
    let cause: unknown;
    try {
      if (await this.#ballast.hold()) return;
    } catch (error) {
      cause = error;
    }
    throw new StoreError(
      'FULL',
      `${this.dir}: the disk is full. Galley keeps ${this.#ballast.bytes} bytes in reserve and commits nothing while ` +
        'they are not free. Make room; it goes on by itself.',
      { cause },
    );
  }

  #settleInTime(): void {
    if (this.#settling !== undefined || this.#state !== 'live') return;
    if (this.#position.sequence - this.#settledSequence < SETTLE_AFTER_BATCHES) return;
    this.#settling = this.#settle()
      // The next commit begins another one; a commit that cannot do without fails.
      .catch(this.#onWarning)
      .finally(() => {
        this.#settling = undefined;
      });
  }

  /** The slot of this sequence is free when the batch that it marks now is settled. */
  async #requireFreeSlot(sequence: number): Promise<void> {
    if (sequence - this.#settledSequence < MARKER_SLOTS) return;
    await this.#settling;
    if (sequence - this.#settledSequence >= MARKER_SLOTS) await this.#settle();
  }

  /** Makes LevelDB write its memory table out, and proves it: every log that existed before must be gone. */
  async #settle(): Promise<void> {
    const { epoch, sequence } = this.#position;
    const before = await writeAheadLogs(this.dir);
    await this.#database.compactRange(EMPTY_RANGE.start, EMPTY_RANGE.end);
    const after = new Set(await writeAheadLogs(this.dir));
    const left = before.filter((log) => after.has(log));
    if (left.length > 0) throw new Error(`${this.dir}: LevelDB did not write out ${left.join(', ')}`);
    if (epoch === this.#position.epoch) this.#settledSequence = sequence;
  }

  /** A read that a close has overtaken answers as every call after it. */
  async #read<T>(read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (error) {
      this.#requireLive();
      throw new StoreError(
        'CORRUPT',
        `${this.dir} cannot be read: ${String(error)}. Check the disk, and restore a backup if the damage is real.`,
        { cause: error },
      );
    }
  }

  #requireLive(): void {
    if (this.#state !== 'live') throw this.#deadError();
  }

  #deadError(): StoreError {
    return new StoreError(
      'DEAD',
      this.#state === 'dead'
        ? `${this.dir}: a write failed earlier, so this handle takes nothing more. Close it and open the store again.`
        : `${this.dir}: the store is closed.`,
    );
  }
}

function judge(census: MarkerCensus, head: Position | undefined, dir: string): Integrity {
  if (head === undefined) return { kind: 'behind', witness: census.newest, source: `${dir}: HEAD is lost` };
  // Behind is told before a hole, since the epoch that accepts the loss must be above the witness's.
  if (comparePositions(census.newest, head) < 0) return { kind: 'behind', witness: head, source: `${dir}/HEAD` };
  return census.contiguity;
}

/** Copies what it is given: the batch may have to wait before LevelDB copies it, and the caller may reuse its bytes. */
function encode(position: Position, changes: readonly Change[]): Operation[] {
  const operations = changes.map(
    ({ key, value }): Operation =>
      value === undefined
        ? { type: 'del', key: Buffer.from(key) }
        : { type: 'put', key: Buffer.from(key), value: seal(key, value) },
  );
  operations.push({ type: 'put', ...encodeMarker(position) });
  return operations;
}
