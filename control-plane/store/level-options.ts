import type { FileSystemOptions, FileSystemTypeOf } from './file-system.ts';
import { fileSystemTypeOf } from './file-system.ts';
import { HEAD_INTERVAL_MS } from './head-witness.ts';

/**
 * LevelDB's memory table and write-ahead log, in bytes. Two may be in memory at once. With this size, and the cache and
 * file size below, the worst batch of a long run took 23 ms instead of 144 ms with LevelDB's defaults.
 */
export const WRITE_BUFFER_BYTES = 32 * 1024 * 1024;
/** LevelDB's block cache, in bytes. */
export const CACHE_BYTES = 64 * 1024 * 1024;
/** The size of a table file, in bytes. */
export const TABLE_FILE_BYTES = 8 * 1024 * 1024;

/**
 * The ballast of a write buffer of this size, in bytes: opening writes out at most two logs of a write buffer each, of
 * which each may exceed it by one batch, the indexes of the tables, and a new manifest and log.
 */
export function ballastBytesFor(writeBufferBytes: number): number {
  return 2 * writeBufferBytes + 8 * 1024 * 1024;
}

export interface LevelStoreOptions extends FileSystemOptions {
  /** Default `WRITE_BUFFER_BYTES`; smaller for tests on small disks. */
  readonly writeBufferBytes?: number;
  /** Default `ballastBytesFor(writeBufferBytes)`, which is 72 MiB. */
  readonly ballastBytes?: number;
  /** The least time between two writes of HEAD, in ms. Default `HEAD_INTERVAL_MS`. */
  readonly headIntervalMs?: number;
  /**
   * Commit without waiting for the disk: a power cut then takes acknowledged work. Only for the test that shows that it
   * would. Default false.
   */
  readonly unsafeNoSync?: boolean;
  /** What went wrong off the commit path and will be tried again: HEAD was not written, the log not settled. Default: ignored. */
  readonly onWarning?: (error: unknown) => void;
}

export interface CompiledLevelOptions {
  readonly allowMemoryFileSystem: boolean;
  readonly fileSystemTypeOf: FileSystemTypeOf;
  readonly writeBufferBytes: number;
  readonly ballastBytes: number;
  readonly headIntervalMs: number;
  readonly unsafeNoSync: boolean;
  readonly onWarning: (error: unknown) => void;
}

export function compileOptions(options: LevelStoreOptions): CompiledLevelOptions {
  const writeBufferBytes = options.writeBufferBytes ?? WRITE_BUFFER_BYTES;
  return {
    allowMemoryFileSystem: options.allowMemoryFileSystem ?? false,
    fileSystemTypeOf: options.fileSystemTypeOf ?? fileSystemTypeOf,
    writeBufferBytes,
    ballastBytes: options.ballastBytes ?? ballastBytesFor(writeBufferBytes),
    headIntervalMs: options.headIntervalMs ?? HEAD_INTERVAL_MS,
    unsafeNoSync: options.unsafeNoSync ?? false,
    onWarning: options.onWarning ?? (() => {}),
  };
}
