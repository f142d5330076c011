import { describe, expect, test } from 'vitest';
import { describeStoreContract } from './contract.ts';
import { MemoryDisk, openMemoryStore } from './memory-store.ts';

const clusterId = 'test';

describeStoreContract('the memory store', async () => {
  const disk = new MemoryDisk({ clusterId });
  return { open: () => openMemoryStore(disk), remove: async () => {} };
});

describe('the memory store', () => {
  test('a crash kills the handle, frees the disk, and leaves a commit in flight in doubt', async () => {
    const disk = new MemoryDisk({ clusterId });
    const { promise: synced, resolve: sync } = Promise.withResolvers<void>();
    const store = await openMemoryStore(disk, { sync: () => synced });
    const commit = store.commit({ epoch: 1, sequence: 1 }, []);
    disk.crash();
    sync();
    await expect(commit).rejects.toMatchObject({ code: 'DEAD' });
    await expect(store.get(Uint8Array.of(1))).rejects.toMatchObject({ code: 'DEAD' });
    const next = await openMemoryStore(disk);
    expect(next.position).toEqual({ epoch: 1, sequence: 1 });
    await store.close();
    await expect(openMemoryStore(disk)).rejects.toMatchObject({ code: 'LOCKED' });
    await next.close();
  });

  test('a long log is moved to the tables without a change to what is read', async () => {
    const disk = new MemoryDisk({ clusterId });
    const store = await openMemoryStore(disk);
    for (let sequence = 1; sequence <= 2500; sequence++) {
      await store.commit({ epoch: 1, sequence }, [
        { key: Uint8Array.of(1, sequence % 7), value: Uint8Array.of(sequence % 251) },
      ]);
    }
    await store.close();
    const again = await openMemoryStore(disk);
    expect(again.position).toEqual({ epoch: 1, sequence: 2500 });
    expect(again.integrity).toEqual({ kind: 'whole' });
    expect(await again.get(Uint8Array.of(1, 2500 % 7))).toEqual(Uint8Array.of(2500 % 251));
    await again.close();
  });
});
