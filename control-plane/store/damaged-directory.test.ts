import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { describe, expect, test } from 'vitest';
import { seal } from './checksum.ts';
import { writeCheckedJson } from './durable-file.ts';
import { initialiseStore, openStore } from './level-store.ts';
import { databasePath } from './store-layout.ts';
import {
  big,
  commitBig,
  commitNext,
  keyOf,
  newStore,
  present,
  record,
  SMALL,
  smallDisk,
  testDirectory,
} from './testing.ts';

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
