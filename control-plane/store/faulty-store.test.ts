import { describe, expect, test } from 'vitest';
import { acceptLoss } from './accept-loss.ts';
import { describeStoreContract } from './contract.ts';
import type { CommitFault, FaultRates, OpenFault } from './faulty-store.ts';
import { FaultyDisk, openFaultyStore, randomFaults } from './faulty-store.ts';
import type { Store } from './store.ts';
import { StoreError } from './store.ts';
import { commitNext, keyOf } from './testing.ts';

describeStoreContract('the faulty store without faults', async () => {
  const disk = new FaultyDisk({ clusterId: 'test' });
  return { open: () => openFaultyStore(disk), remove: async () => {} };
});

const record = (index: number) => ({ key: keyOf(`k${index}`), value: Uint8Array.of(index) });

/** A disk whose next commit or opening fails as told, once. */
function scriptedDisk() {
  const next: { commit?: CommitFault; open?: OpenFault; witness: boolean } = { witness: true };
  const disk = new FaultyDisk({
    clusterId: 'test',
    faults: {
      commit: () => {
        const fault = next.commit;
        delete next.commit;
        return fault;
      },
      open: () => {
        const fault = next.open;
        delete next.open;
        return fault;
      },
      witness: () => next.witness,
    },
  });
  return { disk, next };
}

async function present(store: Store): Promise<number[]> {
  const values = await store.getMany(Array.from({ length: 10 }, (_, index) => keyOf(`k${index}`)));
  return values.flatMap((value) => [...(value ?? [])]);
}

describe('the faulty store', () => {
  test('a failed append kills the handle; what was acknowledged is there after reopening', async () => {
    const { disk, next } = scriptedDisk();
    const store = await openFaultyStore(disk);
    await commitNext(store, record(1));
    next.commit = 'append';
    await expect(commitNext(store, record(2))).rejects.toMatchObject({ code: 'WRITE_FAILED' });
    await expect(commitNext(store, record(3))).rejects.toMatchObject({ code: 'DEAD' });
    await store.close();
    const reopened = await openFaultyStore(disk);
    expect(await present(reopened)).toEqual([1]);
    expect(reopened.integrity).toEqual({ kind: 'whole' });
  });

  test('a handle that goes on after a failed append loses what follows, and the witness tells', async () => {
    const { disk, next } = scriptedDisk();
    const store = await openFaultyStore(disk, { survivesFailedWrite: true });
    await commitNext(store, record(1));
    next.commit = 'append';
    await expect(commitNext(store, record(2))).rejects.toMatchObject({ code: 'WRITE_FAILED' });
    await commitNext(store, record(2));
    await commitNext(store, record(3));
    expect(await present(store)).toEqual([1, 2, 3]);
    await store.close();
    const reopened = await openFaultyStore(disk);
    expect(await present(reopened)).toEqual([1]);
    expect(reopened.integrity).toMatchObject({ kind: 'behind', witness: { epoch: 1, sequence: 3 } });
    expect(() => reopened.commit({ epoch: 1, sequence: 2 }, [])).toThrow(RangeError);
    expect(await acceptLoss(reopened)).toEqual({ epoch: 2, sequence: 1 });
  });

  test('the batch of a failed sync reappears', async () => {
    const { disk, next } = scriptedDisk();
    const store = await openFaultyStore(disk, { survivesFailedWrite: true });
    next.commit = 'sync';
    await expect(commitNext(store, record(1))).rejects.toMatchObject({ code: 'WRITE_FAILED' });
    expect(await present(store)).toEqual([]);
    await expect(commitNext(store, record(1))).rejects.toMatchObject({ code: 'WRITE_FAILED' });
    await store.close();
    const reopened = await openFaultyStore(disk);
    expect(await present(reopened)).toEqual([1]);
    expect(reopened.position).toEqual({ epoch: 1, sequence: 1 });
  });

  test('full: a commit is refused and may be repeated, an opening is refused and loses nothing', async () => {
    const { disk, next } = scriptedDisk();
    const store = await openFaultyStore(disk);
    next.commit = 'full';
    await expect(commitNext(store, record(1))).rejects.toMatchObject({ code: 'FULL' });
    await commitNext(store, record(1));
    await store.close();
    next.open = { kind: 'full' };
    await expect(openFaultyStore(disk)).rejects.toMatchObject({ code: 'FULL' });
    expect(await present(await openFaultyStore(disk))).toEqual([1]);
  });

  test('a lost tail that HEAD had not seen yet looks whole: only an outside witness can tell', async () => {
    const { disk, next } = scriptedDisk();
    const store = await openFaultyStore(disk);
    await commitNext(store, record(1));
    next.witness = false;
    await commitNext(store, record(2));
    disk.crash();
    next.open = { kind: 'lost-tail', batches: 1 };
    const reopened = await openFaultyStore(disk);
    expect(reopened.position).toEqual({ epoch: 1, sequence: 1 });
    expect(reopened.integrity).toEqual({ kind: 'whole' });
  });

  test('only the log can be lost, not what an opening has moved to the tables', async () => {
    const { disk, next } = scriptedDisk();
    const store = await openFaultyStore(disk);
    await commitNext(store, record(1));
    await store.close();
    const second = await openFaultyStore(disk);
    await commitNext(second, record(2));
    await commitNext(second, record(3));
    await second.close();
    next.open = { kind: 'hole', from: 0, batches: 1 };
    const third = await openFaultyStore(disk);
    expect(await present(third)).toEqual([1, 3]);
    expect(third.integrity).toEqual({ kind: 'hole', missing: 1, firstMissing: { epoch: 1, sequence: 2 } });
  });

  test('random faults are the same for the same seed, and no seed loses an acknowledged batch unnoticed', async () => {
    const rates: FaultRates = { append: 0.05, sync: 0.05, full: 0.05, fullAtOpen: 0.1, lostTail: 0.1, hole: 0.1 };
    const kinds = new Set<string>();
    for (let seed = 1; seed <= 200; seed++) {
      const trace = await randomRun(seed, rates);
      expect(await randomRun(seed, rates)).toEqual(trace);
      for (const step of trace) kinds.add(step);
    }
    expect([...kinds].toSorted()).toEqual(['DEAD', 'FULL', 'WRITE_FAILED', 'behind', 'hole', 'ok', 'whole']);
  });
});

/** Commits and reopens by the rules; throws when acknowledged batches are missing from a store that calls itself whole. */
async function randomRun(seed: number, rates: FaultRates): Promise<string[]> {
  const random = lcg(seed);
  const disk = new FaultyDisk({ clusterId: 'test', faults: randomFaults(random, rates) });
  const trace: string[] = [];
  const attempt = async <T>(act: () => Promise<T>): Promise<{ readonly value: T } | undefined> => {
    try {
      return { value: await act() };
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      trace.push(error.code);
      return undefined;
    }
  };
  let acknowledged = new Set<number>();
  let store: Store | undefined;
  const reopen = async (): Promise<Store | undefined> => {
    await store?.close();
    const opened = (await attempt(() => openFaultyStore(disk)))?.value;
    if (opened === undefined) return undefined;
    trace.push(opened.integrity.kind);
    const found = await valuesOf(opened);
    const missing = [...acknowledged].filter((batch) => !found.has(batch));
    expect(opened.integrity.kind === 'whole' ? missing : []).toEqual([]);
    if (opened.integrity.kind === 'whole') return opened;
    acknowledged = found;
    if ((await attempt(() => acceptLoss(opened))) !== undefined) return opened;
    await opened.close();
    return undefined;
  };
  for (let index = 0; index < 60; index++) {
    if (store === undefined || random() < 0.1) store = await reopen();
    if (store === undefined) continue;
    const open = store;
    const change = { key: keyOf(`k${index}`), value: Uint8Array.of(index) };
    if ((await attempt(() => commitNext(open, change))) !== undefined) {
      trace.push('ok');
      acknowledged.add(index);
    } else if (trace.at(-1) === 'WRITE_FAILED') {
      await attempt(() => commitNext(open));
      await open.close();
      store = undefined;
    }
  }
  return trace;
}

async function valuesOf(store: Store): Promise<Set<number>> {
  const found = new Set<number>();
  for await (const page of store.scan({ gte: new Uint8Array(), lt: Uint8Array.of(0xff) })) {
    for (const { value } of page) found.add(value[0] ?? 0);
  }
  return found;
}

/** A small generator of numbers from 0 to 1, the same for the same seed. */
function lcg(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
