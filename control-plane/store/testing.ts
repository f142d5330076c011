import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { isDiskFull } from './errno.ts';
import type { LevelStoreOptions } from './level-options.ts';
import { initialiseStore, openStore } from './level-store.ts';
import type { Change, Position, Store } from './store.ts';
import { databasePath, writeAheadLogs } from './store-layout.ts';

/** Small sizes, so that a test writes little: a ballast that suffices for them, and HEAD written at once. */
export const SMALL: LevelStoreOptions = {
  writeBufferBytes: 1024 * 1024,
  allowMemoryFileSystem: true,
  headIntervalMs: 0,
};

export interface TestDirectory extends AsyncDisposable {
  readonly path: string;
}

/** A new directory, removed at the end of the `await using` scope. */
export async function testDirectory(): Promise<TestDirectory> {
  const path = await mkdtemp(join(tmpdir(), 'galley-store-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/**
 * A tmpfs of this size: a small disk that can really be full. Needs the right to mount; where a machine cannot give it,
 * `GALLEY_TEST_TMPFS` names a directory on a tmpfs of 12 MB that somebody else mounted for this test alone.
 */
export async function smallDisk(megabytes: number): Promise<TestDirectory> {
  const given = process.env['GALLEY_TEST_TMPFS'];
  if (given !== undefined) {
    const path = await mkdtemp(join(given, 'galley-'));
    return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
  }
  const directory = await testDirectory();
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', directory.path], { stdio: 'pipe' });
  } catch (error) {
    await directory[Symbol.asyncDispose]();
    throw new Error('cannot mount a tmpfs: run as root, or set GALLEY_TEST_TMPFS to a directory on a tmpfs of 12 MB', {
      cause: error,
    });
  }
  return {
    path: directory.path,
    async [Symbol.asyncDispose]() {
      // Lazily, so that a handle which a failed test left open does not keep the mount.
      execFileSync('umount', ['--lazy', directory.path], { stdio: 'pipe' });
      await directory[Symbol.asyncDispose]();
    },
  };
}

/** A new store in `dir`, opened. */
export async function newStore(dir: string, options: LevelStoreOptions = SMALL): ReturnType<typeof openStore> {
  await initialiseStore(dir, { ...options, clusterId: 'test' });
  return openStore(dir, options);
}

/** Commits the changes at the next position and returns it. */
export async function commitNext(store: Store, ...changes: Change[]): Promise<Position> {
  const position = { epoch: store.position.epoch, sequence: store.position.sequence + 1 };
  await store.commit(position, changes);
  return position;
}

export const keyOf = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Overwrites bytes in the middle of a file with garbage. */
export async function overwrite(path: string, offset: number, bytes: number): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await file.write(Buffer.alloc(bytes, 0x5a), 0, bytes, offset);
  } finally {
    await file.close();
  }
}

/** Fills the disk to the last page with a file at `path`, and returns `path`. */
export async function fillDisk(path: string): Promise<string> {
  const file = await open(path, 'w');
  for (let bytes = 1024 * 1024; bytes >= 4096; ) {
    try {
      const { bytesWritten } = await file.write(Buffer.alloc(bytes, 1));
      if (bytesWritten < bytes) bytes /= 2;
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      bytes /= 2;
    }
  }
  await file.close();
  return path;
}

export interface OtherProcess extends AsyncDisposable {
  /** The next line that it said. */
  line(): Promise<string>;
  /** kill -9; resolves when it is gone. */
  kill(): Promise<void>;
}

/** Another process that opens the store in `dir` (testing-open.ts); killed at the end of the `await using` scope. */
export function openElsewhere(dir: string, mode: 'open' | 'commit'): OtherProcess {
  const script = fileURLToPath(new URL('./testing-open.ts', import.meta.url));
  const child = spawn(process.execPath, [script, dir, mode], { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const kill = async () => {
    child.kill('SIGKILL');
    await exited;
  };
  return {
    async line() {
      const next = await lines.next();
      if (next.done) throw new Error('the other process said nothing more');
      return next.value;
    },
    kill,
    [Symbol.asyncDispose]: kill,
  };
}

/** Larger than a block of LevelDB's log (32 KiB), so that damage within one batch stays within it. */
const BIG_BYTES = 100 * 1024;
/** A value of that size. */
export const big = (tag: number): Uint8Array => new Uint8Array(BIG_BYTES).fill(tag);
/** The record `k<index>` with such a value. */
export const record = (index: number) => ({ key: keyOf(`k${index}`), value: big(index) });

/** The path of the log that LevelDB writes now. */
export async function newestLog(dir: string): Promise<string> {
  return join(databasePath(dir), (await writeAheadLogs(dir)).toSorted().at(-1) ?? '');
}

/** Commits `count` big batches and returns where each begins in the log. */
export async function commitBig(store: Store & { readonly dir: string }, count: number): Promise<number[]> {
  const log = await newestLog(store.dir);
  const offsets: number[] = [];
  for (let index = 1; index <= count; index++) {
    offsets.push((await stat(log)).size);
    await commitNext(store, record(index));
  }
  return offsets;
}

/** Which of the records 1 to `count` are there. */
export async function present(store: Store, count: number): Promise<number[]> {
  const found: number[] = [];
  for (let index = 1; index <= count; index++) {
    if ((await store.get(keyOf(`k${index}`))) !== undefined) found.push(index);
  }
  return found;
}
