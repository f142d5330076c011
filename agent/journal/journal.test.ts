import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { AttemptPhase, AttemptReportSchema, type Placement, StorePositionSchema } from '@galley/proto';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { keyOf, placementOf } from '../session/testing/placements.ts';
import { encodeFrames, scanFrames } from './framing.ts';
import { Journal } from './journal.ts';
import { decodeRecord, encodeRecord, JOURNAL_FORMAT, type JournalRecord } from './records.ts';
import { applyRecord, emptyState, type JournalState, snapshotRecords } from './state.ts';

const ARRIVAL = { bootId: 'b0a7', uptimeMs: 1234 };

let directory: string;
let open: Journal[];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'galley-journal-'));
  open = [];
});

afterEach(async () => {
  for (const journal of open) await journal.close();
  await rm(directory, { recursive: true, force: true });
});

async function openJournal(): Promise<Journal> {
  const journal = await Journal.open({ directory });
  open.push(journal);
  return journal;
}

async function reopen(journal: Journal): Promise<Journal> {
  await journal.close();
  open = open.filter((other) => other !== journal);
  return await openJournal();
}

function intent(placement: Placement): JournalRecord {
  return { kind: 'intent', placement, arrival: ARRIVAL };
}

function end(placement: Placement, exitCode = 0): JournalRecord {
  const report = create(AttemptReportSchema, {
    phase: AttemptPhase.ENDED,
    exitCode,
    placementSequence: placement.sequence,
    ...(placement.id === undefined ? {} : { id: placement.id }),
  });
  return { kind: 'end', report, endedAtMs: 1_700_000_000_000 };
}

function sequenced(sequence: bigint): Placement {
  return placementOf(['true'], { placement: { sequence } });
}

describe('what was confirmed is there after reopening', () => {
  test('identity, cluster, witness, watermark, open and ended attempts', async () => {
    const journal = await openJournal();
    const { incarnation } = journal;
    const [running, ended] = [sequenced(6n), sequenced(7n)];
    await journal.append([
      { kind: 'cluster', clusterId: 'c-1' },
      { kind: 'witness', position: create(StorePositionSchema, { epoch: 2n, sequence: 9n }) },
      intent(running),
      intent(ended),
      end(ended, 4),
    ]);
    const again = await reopen(journal);
    expect(again.incarnation).toBe(incarnation);
    expect(again.clusterId).toBe('c-1');
    expect(again.witness).toMatchObject({ epoch: 2n, sequence: 9n });
    expect(again.watermark).toBe(7n);
    expect(again.attempts.get(keyOf(running))).toMatchObject({ state: 'open', arrival: ARRIVAL });
    expect(again.attempts.get(keyOf(ended))).toMatchObject({ state: 'ended', report: { exitCode: 4 } });
  });

  test('a witness never goes back', async () => {
    const journal = await openJournal();
    journal.witnessed(create(StorePositionSchema, { epoch: 2n, sequence: 5n }));
    journal.witnessed(create(StorePositionSchema, { epoch: 1n, sequence: 50n }));
    const again = await reopen(journal);
    expect(again.witness).toMatchObject({ epoch: 2n, sequence: 5n });
  });

  test('acked ends leave the journal and are remembered in the history', async () => {
    const journal = await openJournal();
    const placements = Array.from({ length: 50 }, (_, index) => sequenced(BigInt(index + 1)));
    await journal.append(placements.flatMap((placement) => [intent(placement), end(placement, 3)]));
    journal.acked(placements.slice(0, 49).map(keyOf));
    const again = await reopen(journal);
    expect([...again.attempts.keys()]).toEqual(placements.slice(49).map(keyOf));
    const found = await again.remembered(new Set(placements.map(keyOf)));
    expect(found.size).toBe(49);
    expect(found.get(keyOf(sequencedFirst(placements)))?.report.exitCode).toBe(3);
  });

  test('an open attempt is not acked away', async () => {
    const journal = await openJournal();
    const placement = sequenced(1n);
    await journal.append([intent(placement)]);
    journal.acked([keyOf(placement)]);
    const again = await reopen(journal);
    expect(again.attempts.get(keyOf(placement))?.state).toBe('open');
  });
});

test('concurrent appends share syncs and all are there', async () => {
  const journal = await openJournal();
  const placements = Array.from({ length: 500 }, (_, index) => sequenced(BigInt(index + 1)));
  await Promise.all(placements.map((placement) => journal.append([intent(placement)])));
  const again = await reopen(journal);
  expect(new Set(again.attempts.keys())).toEqual(new Set(placements.map(keyOf)));
});

test('the file stays small while attempts come and go', async () => {
  const journal = await openJournal();
  for (let round = 0; round < 120; round++) {
    const placement = placementOf(['x'.repeat(100_000)], { placement: { sequence: BigInt(round + 1) } });
    await journal.append([intent(placement), end(placement)]);
  }
  expect((await stat(join(directory, 'journal'))).size).toBeLessThan(6 * 1024 * 1024);
  const again = await reopen(journal);
  expect(again.attempts.size).toBe(120);
  expect(again.watermark).toBe(120n);
});

test('a second agent on the same state directory is refused', async () => {
  await openJournal();
  await expect(Journal.open({ directory })).rejects.toMatchObject({ code: 'LOCKED' });
});

test('damage from the first byte on is refused, and nothing is cut', async () => {
  const journal = await openJournal();
  const placement = placementOf(['x'.repeat(5_000)], { placement: { sequence: 1n } });
  await journal.append([intent(placement)]);
  await journal.close();
  open = [];
  const path = join(directory, 'journal');
  const bytes = await readFile(path);
  bytes.fill(0, 0, 16);
  await writeFile(path, bytes);
  await expect(Journal.open({ directory })).rejects.toMatchObject({ code: 'UNREADABLE' });
  expect(await readFile(path)).toEqual(bytes);
});

const anyRecord = fc.oneof(
  fc.integer({ min: 1, max: 9 }).map((n) => ({ kind: 'cluster' as const, clusterId: `c${n}` })),
  fc.tuple(fc.bigInt(1n, 3n), fc.bigInt(1n, 9n)).map(([epoch, sequence]) => ({
    kind: 'witness' as const,
    position: create(StorePositionSchema, { epoch, sequence }),
  })),
  fc.bigInt(1n, 9n).map((epoch) => ({ kind: 'epoch' as const, epoch })),
  fc.bigInt(1n, 20n).map((sequence) => intent(fixed(sequence))),
  fc.bigInt(1n, 20n).map((sequence) => end(fixed(sequence))),
  fc.bigInt(1n, 20n).map((sequence): JournalRecord => {
    const { id } = fixed(sequence);
    if (id === undefined) throw new Error('a placement has an id');
    return { kind: 'acked', id, placementSequence: sequence };
  }),
);

const anyHistory = fc
  .array(anyRecord, { maxLength: 40 })
  .map((records): JournalRecord[] => [{ kind: 'identity', format: JOURNAL_FORMAT, incarnation: 'i' }, ...records]);

describe('promises', () => {
  test('any prefix of the file, torn or overwritten behind, is a prefix of the history', () => {
    fc.assert(
      fc.property(anyHistory, fc.double({ min: 0, max: 1, noNaN: true }), fc.uint8Array(), (records, cut, garbage) => {
        const payloads = records.map(encodeRecord);
        const whole = encodeFrames(payloads);
        const at = Math.floor(whole.length * cut);
        const { payloads: kept, goodBytes } = scanFrames(Buffer.concat([whole.subarray(0, at), garbage]));
        let expected = 0;
        for (let bytes = 0; expected < payloads.length; expected++) {
          bytes += encodeFrames(payloads.slice(expected, expected + 1)).length;
          if (bytes > at) break;
        }
        // Garbage passes for a record only when it happens to be what stood there.
        expect(kept.length).toBeGreaterThanOrEqual(expected);
        expect(goodBytes).toBeLessThanOrEqual(whole.length);
        expect(stateOf(kept.map(decodeRecord))).toEqual(stateOf(records.slice(0, kept.length)));
      }),
    );
  });

  test('a rewritten journal adds up to the same as the one it replaces', () => {
    fc.assert(
      fc.property(anyHistory, (records) => {
        const state = stateOf(records);
        const rewritten = Array.from(snapshotRecords(state), (record) => decodeRecord(encodeRecord(record)));
        expect(stateOf(rewritten)).toEqual(state);
      }),
    );
  });

  test('a file that is cut anywhere opens as a prefix of what was confirmed', async () => {
    const journal = await openJournal();
    const placements = Array.from({ length: 12 }, (_, index) => sequenced(BigInt(index + 1)));
    for (const placement of placements) await journal.append([intent(placement)]);
    await journal.close();
    open = [];
    const path = join(directory, 'journal');
    const whole = await readFile(path);
    for (let length = 200; length < whole.length; length += 97) {
      await writeFile(path, whole.subarray(0, length));
      const cut = await Journal.open({ directory });
      const keys = [...cut.attempts.keys()];
      await cut.close();
      expect(keys).toEqual(placements.slice(0, keys.length).map(keyOf));
    }
  });
});

function stateOf(records: readonly JournalRecord[]): JournalState {
  const state = emptyState();
  for (const record of records) applyRecord(state, record);
  return state;
}

function sequencedFirst(placements: readonly Placement[]): Placement {
  const [first] = placements;
  if (first === undefined) throw new Error('no placement');
  return first;
}

const fixedPlacements = new Map<bigint, Placement>();

/** The same placement for the same sequence. */
function fixed(sequence: bigint): Placement {
  const known = fixedPlacements.get(sequence) ?? sequenced(sequence);
  fixedPlacements.set(sequence, known);
  return known;
}
