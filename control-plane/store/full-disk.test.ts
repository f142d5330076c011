import { rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { describe, expect, test } from 'vitest';
import { initialiseStore, openStore } from './level-store.ts';
import { comparePositions } from './position.ts';
import type { Position } from './store.ts';
import { commitBig, commitNext, fillDisk, keyOf, present, record, SMALL, smallDisk } from './testing.ts';

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
