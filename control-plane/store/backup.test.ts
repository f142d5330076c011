import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { restoreBackup, writeBackup } from './backup.ts';
import { FrameEncoder, MAGIC } from './backup-format.ts';
import { openStore } from './level-store.ts';
import { MemoryDisk, openMemoryStore } from './memory-store.ts';
import type { Change, Store } from './store.ts';
import { commitNext, keyOf, newStore, SMALL, testDirectory } from './testing.ts';

async function contentOf(store: Store): Promise<[string, string][]> {
  const content: [string, string][] = [];
  for await (const page of store.scan({ gte: new Uint8Array(), lt: Uint8Array.of(0xff) })) {
    for (const { key, value } of page)
      content.push([Buffer.from(key).toString('hex'), Buffer.from(value).toString('hex')]);
  }
  return content;
}

const put = (key: string, bytes: number): Change => ({ key: keyOf(key), value: new Uint8Array(bytes).fill(bytes) });

/** A memory store with a few megabytes in records of many sizes. */
async function filledStore() {
  const store = await openMemoryStore(new MemoryDisk({ clusterId: 'the cluster' }));
  for (let batch = 0; batch < 5; batch++) {
    await commitNext(store, ...Array.from({ length: 50 }, (_, index) => put(`k${batch}-${index}`, index * 300)));
  }
  return store;
}

describe('a backup', () => {
  test('of a running store restores to a new epoch with everything in it', async () => {
    await using directory = await testDirectory();
    const store = await newStore(join(directory.path, 'store'));
    await commitNext(store, put('a', 100_000), put('b', 0), put('gone', 1));
    await commitNext(store, { key: keyOf('gone'), value: undefined });
    await commitNext(store, put('c', 700_000));
    await commitNext(store, put('d', 700_000));
    const path = join(directory.path, 'backup');
    const seen: number[] = [];
    const written = await writeBackup(store, path, {
      createdAtMs: 1_700_000_000_000,
      onProgress: ({ entries }) => seen.push(entries),
    });
    expect(written).toEqual({
      clusterId: 'test',
      position: { epoch: 1, sequence: 4 },
      createdAtMs: 1_700_000_000_000,
      entries: 4,
      bytes: 1_500_004,
    });
    expect(seen.at(-1)).toBe(4);

    const dir = join(directory.path, 'restored');
    const restored = await restoreBackup(path, dir, SMALL);
    expect(restored).toMatchObject({
      clusterId: 'test',
      position: { epoch: 1, sequence: 4 },
      restoredTo: { epoch: 2 },
    });
    const copy = await openStore(dir, SMALL);
    expect(copy.clusterId).toBe('test');
    expect(copy.integrity).toEqual({ kind: 'whole' });
    expect(copy.position).toEqual(restored.restoredTo);
    expect(await contentOf(copy)).toEqual(await contentOf(store));
    await commitNext(copy, put('e', 1));
    await copy.close();
    await store.close();
    expect((await readdir(directory.path)).toSorted()).toEqual(['backup', 'restored', 'store']);
  });

  test('has one moment of the store, whatever is committed while it is written', async () => {
    await using directory = await testDirectory();
    const store = await filledStore();
    const before = await contentOf(store);
    const path = join(directory.path, 'backup');
    const commits: Promise<unknown>[] = [];
    await writeBackup(store, path, {
      onProgress: () => {
        if (commits.length === 0)
          commits.push(commitNext(store, put('k0-1', 5), put('zzz', 5), { key: keyOf('k4-49'), value: undefined }));
      },
    });
    await Promise.all(commits);
    expect(await contentOf(store)).not.toEqual(before);
    await restoreBackup(path, join(directory.path, 'restored'), SMALL);
    const copy = await openStore(join(directory.path, 'restored'), SMALL);
    expect(await contentOf(copy)).toEqual(before);
    await copy.close();
  });

  test('of an empty store restores', async () => {
    await using directory = await testDirectory();
    const store = await openMemoryStore(new MemoryDisk({ clusterId: 'empty' }));
    await writeBackup(store, join(directory.path, 'backup'));
    const restored = await restoreBackup(join(directory.path, 'backup'), join(directory.path, 'restored'), SMALL);
    expect(restored.restoredTo).toEqual({ epoch: 2, sequence: 1 });
  });

  test('property: damaged in any byte or cut anywhere, it is refused whole', async () => {
    await using directory = await testDirectory();
    const store = await openMemoryStore(new MemoryDisk({ clusterId: 'small' }));
    await commitNext(store, put('a', 20), put('b', 30));
    const path = join(directory.path, 'backup');
    await writeBackup(store, path);
    const sound = await readFile(path);
    const dir = join(directory.path, 'restored');
    const position = fc.nat(sound.byteLength - 1);
    const damage = fc.oneof(
      fc.record({ at: position, flip: fc.integer({ min: 1, max: 255 }) }).map(({ at, flip }) => {
        const bytes = Buffer.from(sound);
        bytes[at] = (bytes[at] ?? 0) ^ flip;
        return bytes;
      }),
      position.map((end) => sound.subarray(0, end)),
      fc.uint8Array({ minLength: 1, maxLength: 9 }).map((more) => Buffer.concat([sound, more])),
    );
    await fc.assert(
      fc.asyncProperty(damage, async (bytes) => {
        await writeFile(path, bytes);
        await expect(restoreBackup(path, dir, { ...SMALL, ballastBytes: 4096 })).rejects.toMatchObject({
          code: 'CORRUPT',
        });
        expect(await readdir(directory.path)).toEqual(['backup']);
      }),
      { numRuns: 40 },
    );
  });

  test('that is sound in each frame but not as a whole is refused', async () => {
    await using directory = await testDirectory();
    const path = join(directory.path, 'backup');
    const header = { clusterId: 'test', position: { epoch: 1, sequence: 1 }, createdAtMs: 0 };
    const page = [{ key: keyOf('a'), value: keyOf('1') }];
    const counts = { entries: 1, bytes: 2 };
    const files: [string, (encoder: FrameEncoder) => Uint8Array[]][] = [
      ['no header', (to) => [to.page(page), to.trailer(counts)]],
      ['two headers', (to) => [to.header(header), to.header(header), to.trailer(counts)]],
      ['its trailer promises', (to) => [to.header(header), to.page(page), to.trailer({ entries: 2, bytes: 4 })]],
      ['ends too early', (to) => [to.header(header), to.page(page)]],
      ['follows its end', (to) => [to.header(header), to.page(page), to.trailer(counts), to.page(page)]],
    ];
    for (const [what, frames] of files) {
      await writeFile(path, Buffer.concat([MAGIC, ...frames(new FrameEncoder())]));
      const restored = restoreBackup(path, join(directory.path, 'restored'), SMALL);
      await expect(restored).rejects.toMatchObject({ code: 'CORRUPT', message: expect.stringContaining(what) });
      expect(await readdir(directory.path)).toEqual(['backup']);
    }
  });

  test('is not restored over anything, nor from nothing', async () => {
    await using directory = await testDirectory();
    const path = join(directory.path, 'backup');
    const dir = join(directory.path, 'store');
    await expect(restoreBackup(path, dir, SMALL)).rejects.toMatchObject({ code: 'CORRUPT' });
    const store = await newStore(dir);
    await writeBackup(store, path);
    await store.close();
    await expect(restoreBackup(path, dir, SMALL)).rejects.toMatchObject({ code: 'ALREADY_INITIALISED' });
    expect((await openStore(dir, SMALL).then((kept) => kept.close().then(() => kept.position))).sequence).toBe(0);
  });

  test('that cannot be written leaves the one before and nothing else', async () => {
    await using directory = await testDirectory();
    const path = join(directory.path, 'backup');
    await writeFile(path, 'the one before');
    const store = await filledStore();
    const failing = writeBackup(store, path, {
      onProgress: () => {
        throw new Error('enough');
      },
    });
    await expect(failing).rejects.toThrow('enough');
    expect(await readdir(directory.path)).toEqual(['backup']);
    expect(await readFile(path, 'utf8')).toBe('the one before');
  });
});
