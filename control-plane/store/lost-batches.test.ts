import { readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { acceptLoss } from './accept-loss.ts';
import { MARKER_SLOTS } from './batch-markers.ts';
import { readHead, writeHead } from './head-witness.ts';
import { acceptLossIn, openStore } from './level-store.ts';
import { databasePath, writeAheadLogs } from './store-layout.ts';
import {
  commitBig,
  commitNext,
  newestLog,
  newStore,
  overwrite,
  present,
  record,
  SMALL,
  smallDisk,
  testDirectory,
} from './testing.ts';

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
