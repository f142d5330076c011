import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readCheckedJson, writeCheckedJson } from './durable-file.ts';
import { isErrno } from './errno.ts';
import { StoreError } from './store.ts';

/**
 * What lies in a store's directory:
 *
 *     FORMAT       the format's version and the cluster's id; its presence says that initialisation was completed
 *     db/          LevelDB
 *     HEAD         the witness (head-witness.ts)
 *     BALLAST      room for bad days (ballast.ts)
 *     LOCK         the lock (lock.ts), and LOCK.owner for messages
 */
const FORMAT_FILE = 'FORMAT';

/** The version of everything that this code writes: file layout, value checksum, markers. */
export const FORMAT_VERSION = 1;

export interface Format {
  readonly version: number;
  readonly clusterId: string;
}

export function databasePath(dir: string): string {
  return join(dir, 'db');
}

export async function writeFormat(dir: string, clusterId: string): Promise<void> {
  await writeCheckedJson(join(dir, FORMAT_FILE), { version: FORMAT_VERSION, clusterId });
}

/** Rejects with `NOT_INITIALISED`, `CORRUPT` or `FORMAT`. */
export async function readFormat(dir: string): Promise<Format> {
  const path = join(dir, FORMAT_FILE);
  const format = await readCheckedJson(path, 'Restore a backup.');
  if (format === undefined) {
    if (await exists(databasePath(dir))) {
      throw new StoreError(
        'CORRUPT',
        `${path} is missing although a store is there. Put it back, or restore a backup.`,
      );
    }
    throw new StoreError('NOT_INITIALISED', `${dir} holds no store. Initialise it, or correct the path.`);
  }
  if (!isFormat(format)) throw new StoreError('CORRUPT', `${path} names no format. Restore a backup.`);
  if (format.version !== FORMAT_VERSION) {
    throw new StoreError(
      'FORMAT',
      `${dir} was written in format ${format.version}, and this version of Galley reads format ${FORMAT_VERSION}. ` +
        'Start the version that wrote it, or restore a backup.',
    );
  }
  return format;
}

function isFormat(value: unknown): value is Format {
  return (
    typeof value === 'object' &&
    value !== null &&
    'version' in value &&
    'clusterId' in value &&
    typeof value.version === 'number' &&
    typeof value.clusterId === 'string'
  );
}

/**
 * Rejects with `CORRUPT` when LevelDB's CURRENT is missing: LevelDB itself would take such a directory for a new, empty
 * database.
 */
export async function requireCurrent(dir: string): Promise<void> {
  const path = join(databasePath(dir), 'CURRENT');
  if (await exists(path)) return;
  throw new StoreError(
    'CORRUPT',
    `${path} is missing: the database cannot be opened without losing what it holds. If the file was removed by hand, ` +
      'write the name of the newest MANIFEST file and a newline into it; otherwise restore a backup.',
  );
}

/** The names of LevelDB's write-ahead logs. */
export async function writeAheadLogs(dir: string): Promise<string[]> {
  const names = await readdir(databasePath(dir));
  return names.filter((name) => name.endsWith('.log'));
}

/** Whether the directory is absent or has nothing in it. */
export async function isEmptyOrAbsent(dir: string): Promise<boolean> {
  try {
    return (await readdir(dir)).length === 0;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return true;
    throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}
