import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { acceptLoss } from './accept-loss.ts';
import type { Change, Entry, Store } from './store.ts';
import { MAX_BATCH_BYTES, MAX_KEY_BYTES } from './store.ts';

/** A place where a new, empty store of the kind under test lies. */
export interface StorePlace {
  /** Opens the store that lies here; at most one handle is open at a time. */
  open(): Promise<Store>;
  /** Removes the place; the suite has closed every handle. */
  remove(): Promise<void>;
}

const EVERYTHING = { gte: new Uint8Array(), lt: Uint8Array.of(0xff, 0xff) };

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const put = (key: string, value: string): Change => ({ key: bytes(key), value: bytes(value) });
const del = (key: string): Change => ({ key: bytes(key), value: undefined });
const text = (value: Uint8Array | undefined): string | undefined => value && Buffer.from(value).toString();
const hex = (value: Uint8Array): string => Buffer.from(value).toString('hex');

async function all(pages: AsyncIterable<Entry[]>): Promise<Entry[]> {
  const entries: Entry[] = [];
  for await (const page of pages) entries.push(...page);
  return entries;
}

async function keys(store: Store, range: { gte: string; lt: string; reverse?: boolean }): Promise<string[]> {
  const entries = await all(store.scan({ ...range, gte: bytes(range.gte), lt: bytes(range.lt) }));
  return entries.map((entry) => Buffer.from(entry.key).toString());
}

/** What every store promises. Each implementation runs this suite. */
export function describeStoreContract(name: string, makePlace: () => Promise<StorePlace>): void {
  describe(`${name} keeps the store's contract`, () => {
    let place: StorePlace;
    let store: Store;

    beforeEach(async () => {
      place = await makePlace();
      store = await place.open();
    });

    afterEach(async () => {
      await store.close();
      await place.remove();
    });

    async function reopen(): Promise<void> {
      await store.close();
      store = await place.open();
    }

    async function commitNext(...changes: Change[]): Promise<void> {
      await store.commit({ epoch: store.position.epoch, sequence: store.position.sequence + 1 }, changes);
    }

    test('a new store is empty, whole and at epoch 1, sequence 0', async () => {
      expect(store.position).toEqual({ epoch: 1, sequence: 0 });
      expect(store.integrity).toEqual({ kind: 'whole' });
      expect(await all(store.scan(EVERYTHING))).toEqual([]);
    });

    test('a committed batch is read back, and again after reopening', async () => {
      await commitNext(put('a', '1'), put('b', ''));
      for (const reopened of [false, true]) {
        if (reopened) await reopen();
        expect(store.position).toEqual({ epoch: 1, sequence: 1 });
        expect(text(await store.get(bytes('a')))).toBe('1');
        expect(text(await store.get(bytes('b')))).toBe('');
        expect(await store.get(bytes('c'))).toBeUndefined();
        expect((await store.getMany(['c', 'b', 'a', 'a'].map(bytes))).map(text)).toEqual([undefined, '', '1', '1']);
      }
    });

    test('changes of one batch apply in order', async () => {
      await commitNext(put('a', '1'), del('a'), put('b', '1'), put('b', '2'), del('absent'));
      expect(await store.get(bytes('a'))).toBeUndefined();
      expect(text(await store.get(bytes('b')))).toBe('2');
    });

    test('a batch without changes moves the position', async () => {
      await commitNext();
      await reopen();
      expect(store.position).toEqual({ epoch: 1, sequence: 1 });
    });

    test('the bytes of a batch may be reused as soon as commit returned', async () => {
      const change = { key: bytes('a'), value: bytes('1') };
      const committed = store.commit({ epoch: 1, sequence: 1 }, [change]);
      change.key.fill(0x7a);
      change.value.fill(0x7a);
      await committed;
      expect(text(await store.get(bytes('a')))).toBe('1');
    });

    test('a scan gives half-open ranges in byte order, either way', async () => {
      await commitNext(put('a', ''), put('b', ''), put('ba', ''), put('c', ''), put('é', ''));
      expect(await keys(store, { gte: 'a', lt: 'c' })).toEqual(['a', 'b', 'ba']);
      expect(await keys(store, { gte: 'a', lt: 'c', reverse: true })).toEqual(['ba', 'b', 'a']);
      expect(await keys(store, { gte: 'b', lt: 'b' })).toEqual([]);
      expect(await keys(store, { gte: 'c', lt: 'a' })).toEqual([]);
      expect((await all(store.scan(EVERYTHING))).map((entry) => hex(entry.key)).at(-1)).toBe(hex(bytes('é')));
    });

    test('a scan pages by bytes, and an early end of it leaves nothing behind', async () => {
      const value = 'x'.repeat(100);
      await commitNext(...Array.from({ length: 100 }, (_, index) => put(`k${100 + index}`, value)));
      const sizes: number[] = [];
      const range = { gte: bytes('k'), lt: bytes('l') };
      for await (const page of store.scan(range, { pageBytes: 1000 })) sizes.push(page.length);
      expect(sizes.length).toBeGreaterThanOrEqual(8);
      expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(100);
      for await (const page of store.scan(range, { pageBytes: 1000 })) {
        expect(page.length).toBeGreaterThan(0);
        break;
      }
      await reopen();
    });

    test('a scan sees one snapshot, whatever is committed meanwhile', async () => {
      await commitNext(put('a', '1'), put('b', '1'), put('c', '1'));
      const seen: (string | undefined)[] = [];
      for await (const page of store.scan({ gte: bytes('a'), lt: bytes('z') }, { pageBytes: 1 })) {
        if (seen.length === 0) await commitNext(put('b', '2'), del('c'), put('d', '2'));
        seen.push(...page.map((entry) => text(entry.value)));
      }
      expect(seen).toEqual(['1', '1', '1']);
      expect(await keys(store, { gte: 'a', lt: 'z' })).toEqual(['a', 'b', 'd']);
    });

    test('a batch that does not follow throws, and the store goes on', async () => {
      await commitNext(put('a', '1'));
      for (const [epoch, sequence] of [
        [1, 1],
        [1, 3],
        [0, 1],
        [2, 2],
        [2, 0],
        [1, 2.5],
        [1, Number.NaN],
      ] as const) {
        expect(() => store.commit({ epoch, sequence }, [put('a', '2')])).toThrow(RangeError);
      }
      expect(text(await store.get(bytes('a')))).toBe('1');
      await commitNext(put('a', '2'));
    });

    test('a batch or key out of bounds throws', async () => {
      const value = new Uint8Array(MAX_BATCH_BYTES);
      const next = { epoch: 1, sequence: 1 };
      expect(() => store.commit(next, [{ key: bytes('a'), value }])).toThrow(/at most 1048576 bytes.*got 1048577/);
      expect(() => store.commit(next, [{ key: new Uint8Array(), value }])).toThrow(/got 0 bytes/);
      expect(() => store.commit(next, [{ key: new Uint8Array(MAX_KEY_BYTES + 1), value }])).toThrow(/got 1025 bytes/);
      expect(() => store.commit(next, [{ key: Uint8Array.of(0xff, 1), value }])).toThrow(/0xff01/);
      await commitNext({ key: bytes('a'), value: value.subarray(1) });
    });

    test('a second commit before the first returned throws', async () => {
      const first = store.commit({ epoch: 1, sequence: 1 }, [put('a', '1')]);
      expect(() => store.commit({ epoch: 1, sequence: 2 }, [put('a', '2')])).toThrow(/in flight/);
      await first;
      await commitNext(put('a', '3'));
      expect(text(await store.get(bytes('a')))).toBe('3');
    });

    test('an epoch may be raised, and accepting a loss does it', async () => {
      await commitNext(put('a', '1'));
      await store.commit({ epoch: 5, sequence: 1 }, [put('b', '1')]);
      await commitNext(put('c', '1'));
      expect(await acceptLoss(store)).toEqual({ epoch: 6, sequence: 1 });
      expect(await acceptLoss(store, { epoch: 9, sequence: 77 })).toEqual({ epoch: 10, sequence: 1 });
      await reopen();
      expect(store.position).toEqual({ epoch: 10, sequence: 1 });
      expect(store.integrity).toEqual({ kind: 'whole' });
      expect(await keys(store, { gte: 'a', lt: 'z' })).toEqual(['a', 'b', 'c']);
    });

    test('a closed store is dead; close waits for the commit in flight and may be called again', async () => {
      const committed = store.commit({ epoch: 1, sequence: 1 }, [put('a', '1')]);
      const closed = store.close();
      await committed;
      await closed;
      await store.close();
      const dead: unknown = expect.objectContaining({ code: 'DEAD' });
      await expect(store.commit({ epoch: 1, sequence: 2 }, [])).rejects.toEqual(dead);
      await expect(store.get(bytes('a'))).rejects.toEqual(dead);
      await expect(store.getMany([bytes('a')])).rejects.toEqual(dead);
      await expect(all(store.scan(EVERYTHING))).rejects.toEqual(dead);
      store = await place.open();
      expect(text(await store.get(bytes('a')))).toBe('1');
    });

    test('a scan that a close overtakes answers DEAD', async () => {
      await commitNext(put('a', '1'), put('b', '1'), put('c', '1'));
      const pages = store.scan({ gte: bytes('a'), lt: bytes('z') }, { pageBytes: 1 })[Symbol.asyncIterator]();
      await pages.next();
      await store.close();
      await expect(
        (async () => {
          while (!(await pages.next()).done);
        })(),
      ).rejects.toEqual(expect.objectContaining({ code: 'DEAD' }));
    });

    test('while a handle is open, a second one is refused and the first is not harmed', async () => {
      await expect(place.open()).rejects.toEqual(expect.objectContaining({ code: 'LOCKED' }));
      await commitNext(put('a', '1'));
      await expect(place.open()).rejects.toEqual(expect.objectContaining({ code: 'LOCKED' }));
    });

    test('property: after any batches and reopenings it holds what a sorted map would', async () => {
      const key = fc.uint8Array({ minLength: 1, maxLength: 3, max: 0xfe });
      const change = fc.record({ key, value: fc.option(fc.uint8Array({ maxLength: 20 }), { nil: undefined }) });
      const step = fc.oneof(
        { weight: 5, arbitrary: fc.array(change, { maxLength: 40 }) },
        { weight: 1, arbitrary: fc.constant('reopen' as const) },
      );
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 12 }), key, key, fc.boolean(), async (steps, gte, lt, reverse) => {
          // Each run goes on in the same store, so what the runs before left is deleted first.
          const before = await all(store.scan(EVERYTHING));
          await commitNext(...before.map((entry) => ({ key: entry.key, value: undefined })));
          const model = new Map<string, string>();
          for (const changes of steps) {
            if (changes === 'reopen') {
              await reopen();
              continue;
            }
            await commitNext(...changes);
            for (const { key: changed, value } of changes) {
              if (value === undefined) model.delete(hex(changed));
              else model.set(hex(changed), hex(value));
            }
          }
          const expected = [...model]
            .filter(([at]) => at >= hex(gte) && at < hex(lt))
            .toSorted(([a], [b]) => (a < b ? -1 : 1));
          const found = await all(store.scan({ gte, lt, reverse }, { pageBytes: 16 }));
          const inOrder = reverse ? found.toReversed() : found;
          expect(inOrder.map((entry) => [hex(entry.key), hex(entry.value)])).toEqual(expected);
        }),
        { numRuns: 25 },
      );
    });
  });
}
