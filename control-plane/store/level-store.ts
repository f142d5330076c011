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
import { acceptLoss } from './accept-loss.ts';
import { Ballast } from './ballast.ts';
import { MARKERS_END, MARKERS_START, MarkerCensus } from './batch-markers.ts';
import { syncDirectory } from './durable-file.ts';
import { requireLocalDisk } from './file-system.ts';
import { readHead } from './head-witness.ts';
import type { Database } from './level-database.ts';
import { openDatabase } from './level-database.ts';
import { LevelStore } from './level-handle.ts';
import type { CompiledLevelOptions, LevelStoreOptions } from './level-options.ts';
import { compileOptions } from './level-options.ts';
import { lockDirectory } from './lock.ts';
import { PAGE_BYTES, PAGE_ENTRIES } from './paging.ts';
import type { Position } from './store.ts';
import { StoreError } from './store.ts';
import { databasePath, readFormat, requireCurrent } from './store-layout.ts';

export { LevelStore } from './level-handle.ts';
export type { LevelStoreOptions } from './level-options.ts';
export type { InitialiseOptions } from './new-store.ts';
export { initialiseStore } from './new-store.ts';

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
