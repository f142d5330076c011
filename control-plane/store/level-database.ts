import { ClassicLevel } from 'classic-level';
import type { Ballast } from './ballast.ts';
import { isDiskFull } from './errno.ts';
import type { CompiledLevelOptions } from './level-options.ts';
import { CACHE_BYTES, TABLE_FILE_BYTES } from './level-options.ts';
import { StoreError } from './store.ts';
import { databasePath } from './store-layout.ts';

export type Database = ClassicLevel<Uint8Array, Uint8Array>;

/** Opens an existing database, with the room of the ballast if it cannot be had otherwise. */
export async function openDatabase(dir: string, options: CompiledLevelOptions, ballast: Ballast): Promise<Database> {
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
