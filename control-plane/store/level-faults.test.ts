import { mkdir, readdir, readFile, rename, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { describe, expect, test } from 'vitest';
import { acceptLoss } from './accept-loss.ts';
import { MARKER_SLOTS } from './batch-markers.ts';
import { seal } from './checksum.ts';
import { writeCheckedJson } from './durable-file.ts';
import { readHead, writeHead } from './head-witness.ts';
import type { LevelStore } from './level-store.ts';
import { acceptLossIn, initialiseStore, openStore } from './level-store.ts';
import { comparePositions } from './position.ts';
import type { Position } from './store.ts';
import { databasePath, writeAheadLogs } from './store-layout.ts';
import {
  commitNext,
  fillDisk,
  keyOf,
  newStore,
  openElsewhere,
  overwrite,
  SMALL,
  smallDisk,
  testDirectory,
} from './testing.ts';

/** Larger than a block of LevelDB's log (32 KiB), so that damage within one batch stays within it. */
const BIG_BYTES = 100 * 1024;
const big = (tag: number): Uint8Array => new Uint8Array(BIG_BYTES).fill(tag);
const record = (index: number) => ({ key: keyOf(`k${index}`), value: big(index) });

async function newestLog(dir: string): Promise<string> {
  return join(databasePath(dir), (await writeAheadLogs(dir)).toSorted().at(-1) ?? '');
}

/** Commits `count` big batches and returns where each begins in the log. */
async function commitBig(store: LevelStore, count: number): Promise<number[]> {
  const log = await newestLog(store.dir);
  const offsets: number[] = [];
  for (let index = 1; index <= count; index++) {
    offsets.push((await stat(log)).size);
    await commitNext(store, record(index));
  }
  return offsets;
}

async function present(store: LevelStore, count: number): Promise<number[]> {
  const found: number[] = [];
  for (let index = 1; index <= count; index++) {
    if ((await store.get(keyOf(`k${index}`))) !== undefined) found.push(index);
  }
  return found;
}

describe('batches that LevelDB drops in silence are noticed', () => {
  test('garbage in the middle of the log: a hole, until the loss is accepted', async () => {
    await using directory = await testDirectory();
    const dir = join(directory.path, 'store');
    const store = await newStore(dir);
    const offsets = await commitBig(store, 8);
    const log = await newestLog(dir);
    await store.close();
    await overwrite(log, (offsets[3] ?? 0) + 40_000, 100);

    const damaged = await openStore(dir, SMALL);
    expect(damaged.position).toEqual({ epoch: 1, sequence: 8 });
    expect(damaged.integrity).toEqual({ kind: 'hole', missing: 1, firstMissing: { epoch: 1, sequence: 4 } });
    expect(await present(damaged, 8)).toEqual([1, 2, 3, 5, 6, 7, 8]);
    expect(() => damaged.commit({ epoch: 1, sequence: 9 }, [])).toThrow(/only the first batch of an epoch above 1/);
    await damaged.close();

    // It is told again at every opening, not once.
    const again = await openStore(dir, SMALL);
    expect(again.integrity.kind).toBe('hole');
    await acceptLoss(again);
    expect(again.integrity).toEqual({ kind: 'whole' });
    await commitNext(again, record(9));
    await again.close();
    const accepted = await openStore(dir, SMALL);
    expect(accepted.integrity).toEqual({ kind: 'whole' });
    expect(accepted.position).toEqual({ epoch: 2, sequence: 2 });
    await accepted.close();
  });

  test('the first batches of an epoch are missed too', async () => {
    await using directory = await testDirectory();
    const dir = join(directory.path, 'store');
    const store = await newStore(dir);
    await commitBig(store, 1);
    await acceptLoss(store);
    const offsets = await commitBig(store, 3);
    const log = await newestLog(dir);
    await store.close();
    await overwrite(log, (offsets[0] ?? 0) + 40_000, 100);
    const damaged = await openStore(dir, SMALL);
    expect(damaged.integrity).toEqual({ kind: 'hole', missing: 1, firstMissing: { epoch: 2, sequence: 2 } });
    await damaged.close();
  });

  test('a lost tail: behind HEAD, until the loss is accepted', async () => {
    await using directory = await testDirectory();
    const dir = join(directory.path, 'store');
    const store = await newStore(dir);
    const offsets = await commitBig(store, 6);
    const log = await newestLog(dir);
    await store.close();
    await truncate(log, offsets[4]);

    const behind = await openStore(dir, SMALL);
    expect(behind.position).toEqual({ epoch: 1, sequence: 4 });
    expect(behind.integrity).toEqual({
      kind: 'behind',
      witness: { epoch: 1, sequence: 6 },
      source: join(dir, 'HEAD'),
    });
    expect(await present(behind, 6)).toEqual([1, 2, 3, 4]);
    expect(() => behind.commit({ epoch: 1, sequence: 5 }, [])).toThrow(/above 1/);
    await behind.close();
    expect(await readHead(dir)).toEqual({ epoch: 1, sequence: 6 });

    expect(await acceptLossIn(dir, SMALL)).toEqual({ epoch: 2, sequence: 1 });
    const accepted = await openStore(dir, SMALL);
    expect(accepted.integrity).toEqual({ kind: 'whole' });
    expect(await readHead(dir)).toEqual({ epoch: 2, sequence: 1 });
    await accepted.close();
  });

  test('a witness of a higher epoch: the loss is accepted above it', async () => {
    await using directory = await testDirectory();
    const dir = join(directory.path, 'store');
    await (await newStore(dir)).close();
    await writeHead(dir, { epoch: 7, sequence: 3 });
    const store = await openStore(dir, SMALL);
    expect(store.integrity).toMatchObject({ kind: 'behind', witness: { epoch: 7, sequence: 3 } });
    expect(() => store.commit({ epoch: 7, sequence: 1 }, [])).toThrow(/above 7/);
    expect(await acceptLoss(store)).toEqual({ epoch: 8, sequence: 1 });
    await store.close();
  });

  test('HEAD missing or damaged: refused, until the loss is accepted', async () => {
    await using directory = await testDirectory();
    const dir = join(directory.path, 'store');
    const store = await newStore(dir);
    await commitNext(store, record(1));
    await store.close();
    const head = join(dir, 'HEAD');
    await writeFile(head, (await readFile(head, 'utf8')).replace('"sequence":1', '"sequence":9'));
    await expect(openStore(dir, SMALL)).rejects.toMatchObject({
      code: 'CORRUPT',
      message: expect.stringContaining(head),
    });
    await rm(head);
    await expect(openStore(dir, SMALL)).rejects.toMatchObject({
      code: 'CORRUPT',
      message: expect.stringContaining(head),
    });
    expect(await acceptLossIn(dir, SMALL)).toEqual({ epoch: 2, sequence: 1 });
    const accepted = await openStore(dir, SMALL);
    expect(await present(accepted, 1)).toEqual([1]);
    await accepted.close();
  });

  test('a store that was ahead of HEAD when its owner was killed is whole, and HEAD catches up', async () => {
    await using directory = await testDirectory();
    const dir = join(directory.path, 'store');
    const store = await newStore(dir);
    await commitBig(store, 2);
    await store.close();
    await writeHead(dir, { epoch: 1, sequence: 1 });
    const reopened = await openStore(dir, SMALL);
    expect(reopened.integrity).toEqual({ kind: 'whole' });
    await reopened.close();
    expect(await readHead(dir)).toEqual({ epoch: 1, sequence: 2 });
  });

  test('HEAD is written off the commit path, and by close', async () => {
    await using directory = await testDirectory();
    const dir = join(directory.path, 'store');
    const store = await newStore(dir, { ...SMALL, headIntervalMs: 3_600_000 });
    await commitNext(store);
    await expect.poll(() => readHead(dir)).toEqual({ epoch: 1, sequence: 1 });
    await commitNext(store);
    await commitNext(store);
    await store.close();
    expect(await readHead(dir)).toEqual({ epoch: 1, sequence: 3 });
  });

  test('the ring of markers is written over only behind what is settled, and finds holes after it went round', async () => {
    await using disk = await smallDisk(100);
    const dir = join(disk.path, 'store');
    // The log is far from full, so that only settling can end it.
    const options = { ...SMALL, writeBufferBytes: 32 * 1024 * 1024, ballastBytes: 4096 };
    const store = await newStore(dir, options);
    const firstLogs = await writeAheadLogs(dir);
    for (let count = 0; count < MARKER_SLOTS + 10; count++) await commitNext(store);
    expect((await writeAheadLogs(dir)).filter((log) => firstLogs.includes(log))).toEqual([]);
    const { epoch, sequence } = store.position;
    const offsets = await commitBig(store, 3);
    const log = await newestLog(dir);
    await store.close();
    await overwrite(log, (offsets[1] ?? 0) + 40_000, 100);
    const reopened = await openStore(dir, options);
    expect(reopened.position).toEqual({ epoch, sequence: sequence + 3 });
    const firstMissing = { epoch, sequence: sequence + 2 };
    expect(reopened.integrity).toEqual({ kind: 'hole', missing: 1, firstMissing });
    await reopened.close();
  });

  test('when settling fails, no marker of an unsettled batch is written over', async () => {
    await using disk = await smallDisk(100);
    const dir = join(disk.path, 'store');
    const warnings: unknown[] = [];
    const options = {
      ...SMALL,
      writeBufferBytes: 32 * 1024 * 1024,
      ballastBytes: 4096,
      onWarning: (error: unknown) => warnings.push(error),
    };
    const store = await newStore(dir, options);
    await commitBig(store, 10);
    await acceptLoss(store);
    // LevelDB goes on in the files that it has open; the settling does not find them.
    await rename(databasePath(dir), `${databasePath(dir)}.aside`);
    let failure: unknown;
    while (failure === undefined && store.position.sequence <= MARKER_SLOTS) {
      failure = await commitNext(store).then(
        () => undefined,
        (error: unknown) => error,
      );
    }
    expect(failure).toMatchObject({ code: 'WRITE_FAILED' });
    expect(store.position).toEqual({ epoch: 2, sequence: MARKER_SLOTS - 1 });
    expect(warnings[0]).toMatchObject({ code: 'ENOENT' });
    await rename(`${databasePath(dir)}.aside`, databasePath(dir));
    await store.close();
    const reopened = await openStore(dir, options);
    expect(reopened.integrity).toEqual({ kind: 'whole' });
    expect(reopened.position).toEqual({ epoch: 2, sequence: MARKER_SLOTS - 1 });
    await reopened.close();
  });
});

describe('a damaged directory is refused with one sentence', () => {
  test('CURRENT missing is not taken for an empty store', async () => {
    await using directory = await testDirectory();
    const dir = join(directory.path, 'store');
    const store = await newStore(dir);
    await commitNext(store, record(1));
    await store.close();
    const current = join(databasePath(dir), 'CURRENT');
    await rename(current, `${current}.aside`);
    await expect(openStore(dir, SMALL)).rejects.toMatchObject({
      code: 'CORRUPT',
      message: expect.stringContaining(current),
    });
    expect(await readdir(databasePath(dir))).not.toContain('CURRENT');
    await rename(`${current}.aside`, current);
    const restored = await openStore(dir, SMALL);
    expect(await present(restored, 1)).toEqual([1]);
    await restored.close();
  });

  test('a table file missing', async () => {
    await using directory = await testDirectory();
    const dir = join(directory.path, 'store');
    const store = await newStore(dir);
    await commitBig(store, 3);
    await store.close();
    // Reopening writes the log out as a table.
    await (await openStore(dir, SMALL)).close();
    const table = (await readdir(databasePath(dir))).find((name) => name.endsWith('.ldb')) ?? '';
    await rm(join(databasePath(dir), table));
    await expect(openStore(dir, SMALL)).rejects.toMatchObject({
      code: 'CORRUPT',
      message: expect.stringContaining(table),
    });
  });

  test('a value that does not match its checksum, by get, getMany and scan', async () => {
    await using directory = await testDirectory();
    const dir = join(directory.path, 'store');
    const store = await newStore(dir);
    await commitNext(store, { key: keyOf('sound'), value: big(1) }, { key: keyOf('swapped'), value: big(1) });
    await store.close();
    // A sound value under another's key: LevelDB's own checksums would match.
    const raw = new ClassicLevel<Uint8Array, Uint8Array>(databasePath(dir), {
      keyEncoding: 'view',
      valueEncoding: 'view',
    });
    await raw.put(keyOf('swapped'), seal(keyOf('sound'), big(1)));
    await raw.close();

    const damaged = await openStore(dir, SMALL);
    const corrupt = { code: 'CORRUPT', message: expect.stringContaining(Buffer.from('swapped').toString('hex')) };
    expect(await damaged.get(keyOf('sound'))).toEqual(Buffer.from(big(1)));
    await expect(damaged.get(keyOf('swapped'))).rejects.toMatchObject(corrupt);
    await expect(damaged.getMany([keyOf('sound'), keyOf('swapped')])).rejects.toMatchObject(corrupt);
    const pages = damaged.scan({ gte: keyOf('a'), lt: keyOf('z') });
    await expect(pages.next()).rejects.toMatchObject(corrupt);
    await damaged.close();
  });

  test('absent, initialised twice, of another format, or without FORMAT', async () => {
    await using directory = await testDirectory();
    const dir = join(directory.path, 'store');
    await expect(openStore(dir, SMALL)).rejects.toMatchObject({ code: 'NOT_INITIALISED' });
    expect(await readdir(directory.path)).toEqual([]);
    await (await newStore(dir)).close();
    const again = initialiseStore(dir, { ...SMALL, clusterId: 'other' });
    await expect(again).rejects.toMatchObject({ code: 'ALREADY_INITIALISED' });
    expect(await readdir(directory.path)).toEqual(['store']);

    const format = join(dir, 'FORMAT');
    const content = await readFile(format);
    await writeCheckedJson(format, { version: 2, clusterId: 'test' });
    await expect(openStore(dir, SMALL)).rejects.toMatchObject({
      code: 'FORMAT',
      message: expect.stringContaining('format 2'),
    });
    await rm(format);
    await expect(openStore(dir, SMALL)).rejects.toMatchObject({
      code: 'CORRUPT',
      message: expect.stringContaining(format),
    });
    await writeFile(format, content);
    const store = await openStore(dir, SMALL);
    expect(store.clusterId).toBe('test');
    await store.close();
  });

  test.each([
    [0x6969, 'NFS'],
    [-0xacb2be, 'CIFS'],
    [0x65735546, 'FUSE'],
    [0x01021994, 'tmpfs'],
  ])('a network or memory file system (%i, %s)', async (type, name) => {
    await using directory = await testDirectory();
    const dir = join(directory.path, 'store');
    const refused = { code: 'FILE_SYSTEM', message: expect.stringContaining(name) };
    const options = { ...SMALL, allowMemoryFileSystem: false, fileSystemTypeOf: async () => type };
    await expect(initialiseStore(dir, { ...options, clusterId: 'test' })).rejects.toMatchObject(refused);
    expect(await readdir(directory.path)).toEqual([]);
    await (await newStore(dir)).close();
    await expect(openStore(dir, options)).rejects.toMatchObject(refused);
  });

  test('a real tmpfs is recognised', async () => {
    await using disk = await smallDisk(12);
    const dir = join(disk.path, 'store');
    const initialised = initialiseStore(dir, { ...SMALL, allowMemoryFileSystem: false, clusterId: 'test' });
    await expect(initialised).rejects.toMatchObject({ code: 'FILE_SYSTEM' });
  });
});

describe('one directory, one handle', () => {
  test('kill -9 while batches are committed: each that was acknowledged is there, and a new owner may open', async () => {
    await using directory = await testDirectory();
    const dir = join(directory.path, 'store');
    await (await newStore(dir)).close();
    let acknowledged = 0;
    for (let round = 0; round < 3; round++) {
      await using other = openElsewhere(dir, 'commit');
      for (let count = 0; count < 50; count++) acknowledged = Number(await other.line());
      await other.kill();
      const store = await openStore(dir, SMALL);
      expect(store.integrity).toEqual({ kind: 'whole' });
      expect(store.position.sequence).toBeGreaterThanOrEqual(acknowledged);
      const keys = Array.from({ length: store.position.sequence }, (_, index) => keyOf(`k${index + 1}`));
      expect((await store.getMany(keys)).filter((value) => value === undefined)).toEqual([]);
      await store.close();
    }
  });

  test('a second open in the process, also by another path, does not let another process in', async () => {
    await using directory = await testDirectory();
    const dir = join(directory.path, 'store');
    const store = await newStore(dir);
    const alias = join(directory.path, 'alias');
    await symlink(dir, alias);
    for (const path of [dir, alias]) {
      await expect(openStore(path, SMALL)).rejects.toMatchObject({
        code: 'LOCKED',
        message: expect.stringContaining(`process ${process.pid}`),
      });
    }
    await using other = openElsewhere(dir, 'open');
    expect(await other.line()).toBe('LOCKED');
    await commitNext(store, record(1));
    await store.close();
    await using after = openElsewhere(dir, 'open');
    expect(await after.line()).toBe('open 1');
  });

  test('another process holds it, and kill -9 of that process frees it', async () => {
    await using directory = await testDirectory();
    const dir = join(directory.path, 'store');
    await (await newStore(dir)).close();
    await using other = openElsewhere(dir, 'open');
    expect(await other.line()).toBe('open 0');
    await expect(openStore(dir, SMALL)).rejects.toMatchObject({ code: 'LOCKED' });
    await other.kill();
    const store = await openStore(dir, SMALL);
    expect(store.position).toEqual({ epoch: 1, sequence: 0 });
    await store.close();
  });

  test('a directory that may not be opened is told with its path', async () => {
    await using directory = await testDirectory();
    const dir = join(directory.path, 'store');
    await (await newStore(dir)).close();
    await rm(join(dir, 'LOCK'));
    await mkdir(join(dir, 'LOCK'));
    const opened = openStore(dir, SMALL);
    await expect(opened).rejects.toMatchObject({
      code: 'LOCKED',
      message: expect.stringContaining('cannot be locked'),
    });
    await rm(join(dir, 'FORMAT'));
    await mkdir(join(dir, 'FORMAT'));
    await expect(openStore(dir, SMALL)).rejects.toMatchObject({
      code: 'CORRUPT',
      message: expect.stringContaining(dir),
    });
  });

  test('of several that initialise at once, one does and the others are told', async () => {
    await using directory = await testDirectory();
    const dir = join(directory.path, 'store');
    const ids = ['a', 'b', 'c'];
    const done = await Promise.allSettled(ids.map((clusterId) => initialiseStore(dir, { ...SMALL, clusterId })));
    const winners = ids.filter((_, index) => done[index]?.status === 'fulfilled');
    expect(winners).toHaveLength(1);
    const refusals = done.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
    expect(refusals).toMatchObject([{ code: 'ALREADY_INITIALISED' }, { code: 'ALREADY_INITIALISED' }]);
    const store = await openStore(dir, SMALL);
    expect(store.clusterId).toBe(winners[0]);
    await store.close();
    expect(await readdir(directory.path)).toEqual(['store']);
  });

  test('a program that has the database open without our lock is noticed', async () => {
    await using directory = await testDirectory();
    const dir = join(directory.path, 'store');
    await (await newStore(dir)).close();
    const raw = new ClassicLevel(databasePath(dir));
    await raw.open();
    await expect(openStore(dir, SMALL)).rejects.toMatchObject({ code: 'LOCKED' });
    await raw.close();
  });

  test('a failed open releases the lock', async () => {
    await using directory = await testDirectory();
    const dir = join(directory.path, 'store');
    await (await newStore(dir)).close();
    const current = join(databasePath(dir), 'CURRENT');
    await rename(current, `${current}.aside`);
    await expect(openStore(dir, SMALL)).rejects.toMatchObject({ code: 'CORRUPT' });
    await rename(`${current}.aside`, current);
    await (await openStore(dir, SMALL)).close();
  });
});

describe('a full disk', () => {
  test('kills the handle; reopening keeps all that was acknowledged; nothing is committed until space is back', async () => {
    await using disk = await smallDisk(12);
    const dir = join(disk.path, 'store');
    const options = { ...SMALL, ballastBytes: 4 * 1024 * 1024 };
    await initialiseStore(dir, { ...options, clusterId: 'test' });
    const store = await openStore(dir, options);
    await commitBig(store, 5);
    const filler = await fillDisk(join(disk.path, 'filler'));
    let index = 5;
    let acknowledged: Position = store.position;
    let failure: unknown;
    while (failure === undefined) {
      try {
        acknowledged = await commitNext(store, record(++index));
      } catch (error) {
        failure = error;
      }
    }
    expect(failure).toMatchObject({ code: 'WRITE_FAILED' });
    expect(store.position).toEqual(acknowledged);
    await expect(commitNext(store)).rejects.toMatchObject({ code: 'DEAD' });
    await expect(store.get(keyOf('k1'))).rejects.toMatchObject({ code: 'DEAD' });
    await store.close();

    const full = await openStore(dir, options);
    expect(full.integrity).toEqual({ kind: 'whole' });
    expect(comparePositions(full.position, acknowledged)).toBeGreaterThanOrEqual(0);
    expect(await present(full, acknowledged.sequence)).toHaveLength(acknowledged.sequence);
    const before = full.position;
    await expect(commitNext(full, record(90))).rejects.toMatchObject({ code: 'FULL' });
    await expect(commitNext(full, record(90))).rejects.toMatchObject({ code: 'FULL' });
    expect(full.position).toEqual(before);
    await rm(filler);
    // Space is back: the same handle goes on, and its ballast is there again.
    await commitNext(full, record(91));
    expect((await stat(join(dir, 'BALLAST'))).size).toBe(4 * 1024 * 1024);
    await full.close();
    const after = await openStore(dir, options);
    expect(after.integrity).toEqual({ kind: 'whole' });
    expect(after.position.sequence).toBe(before.sequence + 1);
    expect(await after.get(keyOf('k90'))).toBeUndefined();
    expect(await after.get(keyOf('k91'))).toBeDefined();
    await after.close();
  });

  test('too full to open even with the ballast released: refused with FULL, and opened when space is back', async () => {
    await using disk = await smallDisk(12);
    const dir = join(disk.path, 'store');
    const options = { ...SMALL, ballastBytes: 4096 };
    await initialiseStore(dir, { ...options, clusterId: 'test' });
    const store = await openStore(dir, options);
    await commitBig(store, 8);
    await store.close();
    const filler = await fillDisk(join(disk.path, 'filler'));
    await expect(openStore(dir, options)).rejects.toMatchObject({ code: 'FULL' });
    await rm(filler);
    const after = await openStore(dir, options);
    expect(await present(after, 8)).toHaveLength(8);
    await after.close();
  });

  test('what the rule is for: LevelDB itself acknowledges 200 batches after the failure and forgets them all', async () => {
    await using disk = await smallDisk(12);
    const open = async () => {
      const level = new ClassicLevel<string, Uint8Array>(join(disk.path, 'raw'), { valueEncoding: 'view' });
      await level.open();
      return level;
    };
    const level = await open();
    const filler = join(disk.path, 'filler');
    await writeFile(filler, Buffer.alloc(11_000_000, 1));
    let acknowledged = 0;
    let failed = false;
    while (!failed) {
      try {
        await level.batch([{ type: 'put', key: `before${acknowledged}`, value: new Uint8Array(1000) }], { sync: true });
        acknowledged++;
      } catch {
        failed = true;
      }
    }
    await rm(filler);
    for (let index = 0; index < 200; index++) {
      await level.batch([{ type: 'put', key: `after${index}`, value: Uint8Array.of(1) }], { sync: true });
    }
    await level.close();
    const reopened = await open();
    expect(await reopened.keys({ gte: 'after', lt: 'afterz' }).all()).toEqual([]);
    expect(await reopened.keys({ gte: 'before', lt: 'beforf' }).all()).toHaveLength(acknowledged);
    await reopened.close();
  });
});
