import { mkdir, readdir, rename, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { describe, expect, test } from 'vitest';
import { initialiseStore, openStore } from './level-store.ts';
import { databasePath } from './store-layout.ts';
import { commitNext, keyOf, newStore, openElsewhere, record, SMALL, testDirectory } from './testing.ts';

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
