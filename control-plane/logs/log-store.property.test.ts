import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { chunkLength } from './admission.ts';
import type { LogChunk } from './log-store.ts';
import { SegmentLogStore } from './segment-log-store.ts';
import { refOf } from './testing.ts';

/** A stream's truth: byte n is what `byteAt` says, or missing where the model has a gap. */
interface Model {
  bytes: string;
  final: number | undefined;
}

const STREAM_LENGTH = 600;
const byteAt = (job: number, offset: number): string => String.fromCharCode(97 + ((job * 7 + offset * 11) % 26));
const truth = (job: number, from: number, to: number): string =>
  Array.from({ length: to - from }, (_, index) => byteAt(job, from + index)).join('');

const job = fc.integer({ min: 1, max: 3 });
const offset = fc.nat(STREAM_LENGTH);
const piece = fc.record({ job, offset, length: fc.nat(120), isGap: fc.boolean(), next: fc.boolean() });
const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constant('append' as const), pieces: fc.array(piece, { maxLength: 6 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('end' as const), job }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('read' as const), job, offset, maxBytes: fc.integer({ min: 1, max: 300 }) }),
  },
);

/** Missing bytes are '?', so that model and store compare as text. */
const plain = (chunks: readonly LogChunk[]): string =>
  chunks.map((one) => (one.kind === 'data' ? Buffer.from(one.data).toString() : '?'.repeat(one.length))).join('');

it('whatever is appended, again, overlapping, ahead or across restarts: reads equal the model', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      const directory = await mkdtemp(join(tmpdir(), 'galley-logs-'));
      const options = { directory, segmentBytes: 4096, freeFloorBytes: 0 };
      let store = await SegmentLogStore.open(options);
      const models = new Map([1, 2, 3].map((number): [number, Model] => [number, { bytes: '', final: undefined }]));
      const model = (number: number): Model => models.get(number) ?? { bytes: '', final: undefined };
      try {
        for (const one of steps) {
          if (one.do === 'restart') {
            await store.close();
            store = await SegmentLogStore.open(options);
          } else if (one.do === 'end') {
            const known = model(one.job);
            known.final ??= known.bytes.length;
            await store.end(refOf(one.job), { output: known.final });
          } else if (one.do === 'append') {
            // Half of the pieces go on at the known end, or little would ever be taken.
            const ahead = new Map<number, number>();
            const chunks = one.pieces.map((raw): LogChunk => {
              const from = raw.next ? (ahead.get(raw.job) ?? model(raw.job).bytes.length) : raw.offset;
              ahead.set(raw.job, from + raw.length);
              const place = { ref: refOf(raw.job), stream: 'output' as const, offset: from, observedAtMs: 1 };
              return raw.isGap
                ? { kind: 'gap', ...place, length: raw.length, reason: 'flood' }
                : { kind: 'data', ...place, data: Buffer.from(truth(raw.job, from, from + raw.length)) };
            });
            await appendBoth(store, model, chunks);
          } else {
            await readBoth(store, model(one.job), one);
          }
        }
        for (const [number, { bytes }] of models) {
          expect(plain((await store.read({ ref: refOf(number), stream: 'output', offset: 0 })).chunks)).toBe(bytes);
          const fromTail = await store.tail({ ref: refOf(number), stream: 'output', last: { bytes: 50 } });
          expect(bytes.endsWith(plain(fromTail.chunks))).toBe(true);
        }
      } finally {
        await store.close();
        await rm(directory, { recursive: true });
      }
    }),
    { numRuns: 60 },
  );
}, 60_000);

async function appendBoth(
  store: SegmentLogStore,
  model: (job: number) => Model,
  chunks: readonly LogChunk[],
): Promise<void> {
  const { refused } = await store.append(chunks);
  const expected = chunks.flatMap((chunk, index) => (applyTo(model(chunk.ref.jobNumber), chunk) ? [] : [index]));
  expect(refused.map(({ index }) => index)).toEqual(expected);
}

async function readBoth(
  store: SegmentLogStore,
  { bytes, final }: Model,
  { job: number, offset: from, maxBytes }: { job: number; offset: number; maxBytes: number },
): Promise<void> {
  const page = await store.read({ ref: refOf(number), stream: 'output', offset: from, maxBytes });
  const text = plain(page.chunks);
  expect(text).toBe(bytes.slice(from, from + text.length));
  expect(text === '').toBe(from >= bytes.length);
  expect(page.knownLength).toBe(bytes.length);
  expect(page.ended).toBe(final !== undefined && page.nextOffset >= final);
}

/** False when the store must refuse it. */
function applyTo(model: Model, chunk: LogChunk): boolean {
  const end = chunk.offset + chunkLength(chunk);
  const known = model.bytes.length;
  if ((model.final !== undefined && end > model.final) || chunk.offset > known) {
    return false;
  }
  if (end > known) {
    const { jobNumber } = chunk.ref;
    model.bytes += chunk.kind === 'data' ? truth(jobNumber, known, end) : '?'.repeat(end - known);
  }
  return true;
}
