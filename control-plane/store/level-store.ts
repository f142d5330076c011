/**
 * The store on LevelDB.
 *
 * How durability works, and what each part is there for
 *
 * - A commit is one LevelDB batch, written with `sync`: the promise resolves after fdatasync of the write-ahead log.
 *   Nothing may leave the control plane before it does.
 * - After an append that failed (a full disk, an I/O error), LevelDB goes on in the same log behind the torn record and
 *   acknowledges batches that recovery will never find. So the first write that does not return OK kills the handle:
 *   `WRITE_FAILED`, then `DEAD`. The owner closes it and opens anew, which begins a new log. The batch in doubt may be
 *   there or not (a failed sync can leave it whole): the position after reopening says.
 * - Recovery drops damaged parts of the log in silence. Every batch therefore carries a marker with its position
 *   (batch-markers.ts): a hole shows when the store is opened, as `integrity: hole`.
 * - A missing *end* leaves no hole. HEAD, a file outside LevelDB, witnesses the position that was acknowledged, up to a
 *   second ago (head-witness.ts): `integrity: behind`. The agents witness the rest (`comparePositions`).
 * - Settling: the markers are a ring, and one may be written over only when its batch can no longer be dropped, which is
 *   when the log that held it is gone. At half a ring of batches since the last time the store makes LevelDB write its
 *   memory table out, and sees to it that every log which existed before is deleted. A commit that would overtake this waits.
 * - Values carry a checksum bound to their key (checksum.ts), verified on every read.
 * - One store, one handle: a lock of our own (lock.ts); a missing CURRENT, a foreign format and a file system that does
 *   not keep its word are refused (store-layout.ts, file-system.ts).
 * - A full disk: opening needs room, which the ballast holds (ballast.ts). While the ballast is not held, commits answer
 *   `FULL` and write nothing; reads go on; when space is back, the next commit makes the ballast again and succeeds.
 *
 * What this cannot see: a damaged key in a table file (LevelDB's own block checksums are not verified on reads, and the
 * binding has no option for it) makes a `get` miss its record; a scan notices, since the value is bound to its key.
 */
import { resolve } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { acceptLoss } from './accept-loss.ts';
import { Ballast } from './ballast.ts';
import { EMPTY_RANGE, encodeMarker, MARKER_SLOTS, MARKERS_END, MARKERS_START, MarkerCensus } from './batch-markers.ts';
import { seal, unseal } from './checksum.ts';
import { callerRange, checkCommit } from './commit-rules.ts';
import { syncDirectory } from './durable-file.ts';
import { isDiskFull } from './errno.ts';
import { requireLocalDisk } from './file-system.ts';
import { HeadWriter, readHead } from './head-witness.ts';
import type { CompiledLevelOptions, LevelStoreOptions } from './level-options.ts';
import { CACHE_BYTES, compileOptions, TABLE_FILE_BYTES } from './level-options.ts';
import type { DirectoryLock } from './lock.ts';
import { lockDirectory } from './lock.ts';
import { PAGE_BYTES, PAGE_ENTRIES } from './paging.ts';
import { comparePositions, describePosition } from './position.ts';
import type { Change, Entry, Integrity, Position, ScanRange, Store } from './store.ts';
import { StoreError } from './store.ts';
import { databasePath, readFormat, requireCurrent, writeAheadLogs } from './store-layout.ts';

export type { LevelStoreOptions } from './level-options.ts';
export type { InitialiseOptions } from './new-store.ts';
export { initialiseStore } from './new-store.ts';

type Database = ClassicLevel<Uint8Array, Uint8Array>;
type Operation = { type: 'put'; key: Uint8Array; value: Uint8Array } | { type: 'del'; key: Uint8Array };

/** At so many batches since the last settling the next one begins; at a full ring commits wait for it. */
const SETTLE_AFTER_BATCHES = MARKER_SLOTS / 2;

/**
 * Opens the store in `dir`. Rejects with `NOT_INITIALISED`, `FORMAT`, `FILE_SYSTEM`, `LOCKED`, `CORRUPT` or `FULL`; a
 * store that lost batches opens, and says so in `integrity`.
 */
export async function openStore(dir: string, options: LevelStoreOptions = {}): Promise<LevelStore> {
  try {
    return await open(resolve(dir), compileOptions(options), readHead);
  } catch (error) {
    if (error instanceof StoreError) throw error;
    throw new StoreError(
      'CORRUPT',
      `${dir} cannot be opened: ${String(error)}. Check the files and their permissions.`,
      {
        cause: error,
      },
    );
  }
}

/**
 * Accepts the loss of the store in `dir`, as `acceptLoss` does for an open one, and also where `openStore` refuses
 * because HEAD is missing or damaged. Returns the new position.
 */
export async function acceptLossIn(dir: string, options: LevelStoreOptions = {}): Promise<Position> {
  const store = await open(resolve(dir), compileOptions(options), async (path) => {
    try {
      return await readHead(path);
    } catch (error) {
      if (error instanceof StoreError && error.code === 'CORRUPT') return undefined;
      throw error;
    }
  });
  try {
    return await acceptLoss(store);
  } finally {
    await store.close();
  }
}

async function open(
  dir: string,
  options: CompiledLevelOptions,
  witness: (dir: string) => Promise<Position | undefined>,
): Promise<LevelStore> {
  const { clusterId } = await readFormat(dir);
  await requireLocalDisk(dir, options);
  const lock = lockDirectory(dir);
  let database: Database | undefined;
  try {
    await requireCurrent(dir);
    const head = await witness(dir);
    const ballast = new Ballast(dir, options.ballastBytes);
    database = await openDatabase(dir, options, ballast);
    await syncDirectory(databasePath(dir));
    const census = await takeCensus(database, dir);
    await ballast.hold();
    return new LevelStore({ dir, clusterId, options, lock, database, ballast, head, census });
  } catch (error) {
    await database?.close();
    lock.release();
    throw error;
  }
}

async function openDatabase(dir: string, options: CompiledLevelOptions, ballast: Ballast): Promise<Database> {
  try {
    return await openLevel(dir, options);
  } catch (error) {
    if (!isDiskFull(error)) throw openError(dir, error);
  }
  await ballast.release();
  try {
    return await openLevel(dir, options);
  } catch (error) {
    throw openError(dir, error);
  }
}

async function openLevel(dir: string, options: CompiledLevelOptions): Promise<Database> {
  const database: Database = new ClassicLevel(databasePath(dir), {
    createIfMissing: false,
    keyEncoding: 'view',
    valueEncoding: 'view',
    writeBufferSize: options.writeBufferBytes,
    cacheSize: CACHE_BYTES,
    maxFileSize: TABLE_FILE_BYTES,
  });
  await database.open();
  return database;
}

function openError(dir: string, error: unknown): StoreError {
  if (isDiskFull(error)) {
    return new StoreError('FULL', `${dir}: the disk is too full to open the database. Make room and start again.`, {
      cause: error,
    });
  }
  const detail = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
  // Our own lock was free, so somebody removed its file, or opened the database without it.
  if (/\/LOCK: /.test(detail)) {
    return new StoreError('LOCKED', `${databasePath(dir)} is in use: ${detail}. Stop the program that has it open.`, {
      cause: error,
    });
  }
  return new StoreError(
    'CORRUPT',
    `${databasePath(dir)} cannot be opened: ${detail}. Check the disk and the file's permissions, and restore a backup ` +
      'if the damage is real. Do not use a repair tool: it keeps halves of batches.',
    { cause: error },
  );
}

async function takeCensus(database: Database, dir: string): Promise<MarkerCensus> {
  const census = new MarkerCensus(dir);
  const iterator = database.iterator({ gte: MARKERS_START, lt: MARKERS_END, highWaterMarkBytes: PAGE_BYTES });
  try {
    for (;;) {
      const page = await iterator.nextv(PAGE_ENTRIES);
      if (page.length === 0) return census;
      for (const [key, value] of page) census.add(key, value);
    }
  } finally {
    await iterator.close();
  }
}

interface LevelStoreParts {
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
      await this.#database.batch(operations, { sync: true });
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
