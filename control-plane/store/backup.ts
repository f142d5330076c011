/**
 * Backups of a running store: one file with everything that a snapshot holds. A restored store begins a new epoch, so
 * that agents and control plane know that they may have seen more than it remembers.
 */
import { randomUUID } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { BackupHeader, BackupTrailer, Frame } from './backup-format.ts';
import { damaged, FRAME_HEAD_BYTES, FrameDecoder, FrameEncoder, MAGIC } from './backup-format.ts';
import { KEYS_END } from './commit-rules.ts';
import { syncDirectory } from './durable-file.ts';
import { isErrno } from './errno.ts';
import type { LevelStoreOptions } from './level-options.ts';
import { initialiseStore, openStore } from './level-store.ts';
import { buildBeside } from './new-store.ts';
import type { Change, Entry, Position, Store } from './store.ts';
import { MAX_BATCH_BYTES } from './store.ts';

/** What has been written or read so far. */
export interface BackupProgress {
  readonly entries: number;
  /** Of keys and values. */
  readonly bytes: number;
}

export interface BackupOptions {
  readonly onProgress?: (progress: BackupProgress) => void;
  /** The time that the backup names as its own, Unix ms. Default: now. */
  readonly createdAtMs?: number;
}

/**
 * Writes a backup of the store to `path`, replacing a file there only when the new one is whole and on disk. Commits go
 * on meanwhile and are not in it. Rejects with the file system's own error when the file cannot be written.
 */
export async function writeBackup(
  store: Store & { readonly clusterId: string },
  path: string,
  options: BackupOptions = {},
): Promise<BackupHeader & BackupTrailer> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomUUID()}`);
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      const written = await writeFrames(store, file, options);
      await file.sync();
      await rename(temporary, path);
      await syncDirectory(dirname(path));
      return written;
    } finally {
      await file.close();
    }
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

async function writeFrames(
  store: Store & { readonly clusterId: string },
  file: FileHandle,
  { onProgress, createdAtMs = Date.now() }: BackupOptions,
): Promise<BackupHeader & BackupTrailer> {
  const encoder = new FrameEncoder();
  // Taken before the snapshot: what is committed is in it, and a batch in flight may be.
  const header = { clusterId: store.clusterId, position: store.position, createdAtMs };
  await file.writeFile(MAGIC);
  await file.writeFile(encoder.header(header));
  let entries = 0;
  let bytes = 0;
  for await (const page of store.scan({ gte: new Uint8Array(), lt: KEYS_END })) {
    await file.writeFile(encoder.page(page));
    entries += page.length;
    bytes += bytesOf(page);
    onProgress?.({ entries, bytes });
  }
  await file.writeFile(encoder.trailer({ entries, bytes }));
  return { ...header, entries, bytes };
}

export interface RestoreOptions extends LevelStoreOptions {
  readonly onProgress?: (progress: BackupProgress) => void;
}

export interface Restored extends BackupHeader {
  /** Where the restored store stands: in the epoch after the backup's. */
  readonly restoredTo: Position;
}

/**
 * Makes a new store in `dir`, which must be absent or empty (else `ALREADY_INITIALISED`), from the backup at `path`. All
 * or nothing: a file that is damaged, cut short or no backup at all rejects with `CORRUPT` and leaves no store.
 */
export async function restoreBackup(path: string, dir: string, options: RestoreOptions = {}): Promise<Restored> {
  let restored: Restored | undefined;
  await buildBeside(dir, async (building) => {
    restored = await restoreInto(path, building, options);
  });
  if (restored === undefined) throw new Error('the build ended without a result');
  return restored;
}

async function restoreInto(path: string, dir: string, options: RestoreOptions): Promise<Restored> {
  const frames = readFrames(path);
  try {
    const first = await frames.next();
    if (first.done || first.value.kind !== 'header') throw damaged(path, 'it has no header');
    const { header } = first.value;
    await initialiseStore(dir, { ...options, clusterId: header.clusterId });
    const store = await openStore(dir, options);
    try {
      await restoreEntries(store, header.position.epoch + 1, frames, path, options.onProgress);
      return { ...header, restoredTo: store.position };
    } finally {
      await store.close();
    }
  } finally {
    await frames.return();
  }
}

async function restoreEntries(
  store: Store,
  epoch: number,
  frames: AsyncGenerator<Frame, void, undefined>,
  path: string,
  onProgress: RestoreOptions['onProgress'],
): Promise<void> {
  let sequence = 0;
  let entries = 0;
  let bytes = 0;
  await store.commit({ epoch, sequence: ++sequence }, []);
  for await (const frame of frames) {
    if (frame.kind === 'header') throw damaged(path, 'it has two headers');
    if (frame.kind === 'trailer') {
      if (frame.trailer.entries === entries && frame.trailer.bytes === bytes) return;
      throw damaged(path, `its trailer promises ${frame.trailer.entries} records and has ${entries}`);
    }
    for (const batch of batchesOf(frame.entries)) await store.commit({ epoch, sequence: ++sequence }, batch);
    entries += frame.entries.length;
    bytes += bytesOf(frame.entries);
    onProgress?.({ entries, bytes });
  }
  throw damaged(path, 'its end is missing');
}

/** Cuts entries into batches that a commit takes. */
function* batchesOf(entries: readonly Entry[]): Generator<Change[], void, undefined> {
  let batch: Change[] = [];
  let bytes = 0;
  for (const entry of entries) {
    const size = entry.key.byteLength + entry.value.byteLength;
    if (bytes + size > MAX_BATCH_BYTES) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(entry);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}

/** Reads the frames one by one and checks each. Throws `CORRUPT`, also when something follows the trailer. */
async function* readFrames(path: string): AsyncGenerator<Frame, void, undefined> {
  const decoder = new FrameDecoder(path);
  const file = await openBackup(path);
  try {
    const magic = await readExactly(file, MAGIC.byteLength, path);
    if (!magic.equals(MAGIC)) throw damaged(path, 'it does not begin as a backup of this version');
    for (;;) {
      const head = await readExactly(file, FRAME_HEAD_BYTES, path);
      const frame = decoder.decode(head, await readExactly(file, decoder.payloadBytes(head), path));
      if (frame.kind === 'trailer' && (await file.read(Buffer.alloc(1), 0, 1)).bytesRead > 0) {
        throw damaged(path, 'something follows its end');
      }
      yield frame;
      if (frame.kind === 'trailer') return;
    }
  } finally {
    await file.close();
  }
}

async function openBackup(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) throw damaged(path, 'there is no such file');
    throw error;
  }
}

async function readExactly(file: FileHandle, bytes: number, path: string): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(bytes);
  for (let filled = 0; filled < bytes; ) {
    const { bytesRead } = await file.read(buffer, filled, bytes - filled);
    if (bytesRead === 0) throw damaged(path, 'it ends too early');
    filled += bytesRead;
  }
  return buffer;
}

function bytesOf(entries: readonly Entry[]): number {
  return entries.reduce((sum, { key, value }) => sum + key.byteLength + value.byteLength, 0);
}
