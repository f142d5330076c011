import { randomUUID } from 'node:crypto';
import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { Ballast } from './ballast.ts';
import { syncDirectory } from './durable-file.ts';
import { isDiskFull, isErrno } from './errno.ts';
import { requireLocalDisk } from './file-system.ts';
import { writeHead } from './head-witness.ts';
import type { LevelStoreOptions } from './level-options.ts';
import { compileOptions } from './level-options.ts';
import { FIRST_POSITION } from './position.ts';
import { StoreError } from './store.ts';
import { databasePath, isEmptyOrAbsent, writeFormat } from './store-layout.ts';

/** `clusterId`: the cluster whose state this is; it never changes. */
export interface InitialiseOptions extends LevelStoreOptions {
  readonly clusterId: string;
}

/**
 * Makes a new, empty store in `dir`, which must be absent or empty (else `ALREADY_INITIALISED`). The only place where
 * LevelDB is told to create a database. All or nothing: it is built beside `dir` and renamed.
 */
export async function initialiseStore(dir: string, options: InitialiseOptions): Promise<void> {
  await buildBeside(dir, async (building) => {
    const compiled = compileOptions(options);
    await requireLocalDisk(building, compiled);
    const database = new ClassicLevel(databasePath(building), { createIfMissing: true, errorIfExists: true });
    await database.open();
    await database.close();
    if (!(await new Ballast(building, compiled.ballastBytes).hold())) {
      throw new StoreError('FULL', `${dir}: a new store needs ${compiled.ballastBytes} bytes. Make room on the disk.`);
    }
    await writeHead(building, FIRST_POSITION);
    await writeFormat(building, options.clusterId);
    await syncDirectory(databasePath(building));
  });
}

/**
 * Runs `build` in a new directory beside `dir` and renames it to `dir` when it succeeded: nobody ever sees half of it.
 * A build that is killed leaves a directory named `<dir>.building-<uuid>`, which may be removed.
 */
export async function buildBeside(dir: string, build: (building: string) => Promise<void>): Promise<void> {
  const target = resolve(dir);
  if (!(await isEmptyOrAbsent(target))) throw alreadyThere(dir);
  const building = `${target}.building-${randomUUID()}`;
  await mkdir(building, { recursive: true, mode: 0o700 });
  try {
    await build(building);
    await rename(building, target);
  } catch (error) {
    await rm(building, { recursive: true, force: true });
    if (isErrno(error, 'ENOTEMPTY', 'EEXIST')) throw alreadyThere(dir);
    if (isDiskFull(error) && !(error instanceof StoreError)) {
      throw new StoreError('FULL', `${dir}: the disk is full. Make room and try again.`, { cause: error });
    }
    throw error;
  }
  await syncDirectory(dirname(target));
}

function alreadyThere(dir: string): StoreError {
  return new StoreError('ALREADY_INITIALISED', `${dir} is not empty. Give a new or an empty directory.`);
}
