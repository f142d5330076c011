import { cp, mkdtemp, open, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { SegmentLogStore } from './segment-log-store.ts';
import { segmentPath } from './segments.ts';
import { chunk, refOf, textOf } from './testing.ts';

/** What a power cut can leave of the turn that was being written: its pages in any order, and an index from before. */
const scenario = fc.record({
  turns: fc.array(
    fc.array(fc.record({ job: fc.integer({ min: 1, max: 3 }), length: fc.integer({ min: 1, max: 300 }) }), {
      minLength: 1,
      maxLength: 8,
    }),
    { minLength: 2, maxLength: 6 },
  ),
  /** Per mille of the last turn that is there. */
  keptPerMille: fc.integer({ min: 0, max: 1000 }),
  /** Per mille of what is kept at which a stretch of zeros begins. */
  holePerMille: fc.integer({ min: 0, max: 1000 }),
  holeBytes: fc.nat(200),
  index: fc.constantFrom('gone' as const, 'old' as const, 'fresh' as const),
  indexTurn: fc.nat(5),
});

const byteAt = (job: number, offset: number): string => String.fromCharCode(97 + ((job * 7 + offset * 11) % 26));
const truth = (job: number, from: number, length: number): string =>
  Array.from({ length }, (_, index) => byteAt(job, from + index)).join('');

it('a power cut in any turn: what was acked is there, what was not is there or absent, and sending again makes it whole', async () => {
  await fc.assert(
    fc.asyncProperty(scenario, async ({ turns, keptPerMille, holePerMille, holeBytes, index, indexTurn }) => {
      const base = await mkdtemp(join(tmpdir(), 'galley-logs-'));
      const live = join(base, 'live');
      const cut = join(base, 'cut');
      const options = { freeFloorBytes: 0 };
      const lengths = new Map([1, 2, 3].map((job) => [job, 0]));
      const sizes: number[] = [];
      const acked: Map<number, number>[] = [];
      const store = await SegmentLogStore.open({ ...options, directory: live });
      for (const [number, turn] of turns.entries()) {
        const chunks = turn.map(({ job, length }) => {
          const offset = lengths.get(job) ?? 0;
          lengths.set(job, offset + length);
          return chunk(refOf(job), offset, truth(job, offset, length));
        });
        await store.append(chunks);
        sizes.push((await stat(segmentPath(live, 1))).size);
        acked.push(new Map(lengths));
        if (number === Math.min(indexTurn, turns.length - 2) && index === 'old') {
          await cp(join(live, 'index'), join(cut, 'index'), { recursive: true });
        }
        if (number === turns.length - 2 && index === 'fresh') {
          await cp(join(live, 'index'), join(cut, 'index'), { recursive: true });
        }
      }
      await cp(join(live, 'segments'), join(cut, 'segments'), { recursive: true });
      await store.close();
      await tear(segmentPath(cut, 1), sizes.at(-2) ?? 0, { keptPerMille, holePerMille, holeBytes });

      const again = await SegmentLogStore.open({ ...options, directory: cut });
      try {
        for (const job of [1, 2, 3]) {
          const { known } = (await again.lengths(refOf(job))).output;
          expect(known).toBeGreaterThanOrEqual(acked.at(-2)?.get(job) ?? 0);
          expect(await textFrom(again, job)).toBe(truth(job, 0, known));
          const { refused } = await again.append([chunk(refOf(job), 0, truth(job, 0, lengths.get(job) ?? 0))]);
          expect(refused).toEqual([]);
          expect(await textFrom(again, job)).toBe(truth(job, 0, lengths.get(job) ?? 0));
        }
      } finally {
        await again.close();
        await rm(base, { recursive: true });
      }
    }),
    { numRuns: 60 },
  );
}, 60_000);

const textFrom = async (store: SegmentLogStore, job: number): Promise<string> =>
  textOf((await store.read({ ref: refOf(job), stream: 'output', offset: 0 })).chunks);

async function tear(
  path: string,
  synced: number,
  how: { keptPerMille: number; holePerMille: number; holeBytes: number },
): Promise<void> {
  const bytes = await readFile(path);
  const end = synced + Math.floor(((bytes.length - synced) * how.keptPerMille) / 1000);
  const hole = synced + Math.floor(((end - synced) * how.holePerMille) / 1000);
  bytes.fill(0, hole, Math.min(end, hole + how.holeBytes));
  const file = await open(path, 'w');
  await file.write(bytes, 0, end);
  await file.close();
}
