import { mkdtemp, readdir, rm, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { GAP_EXPIRED } from './log-store.ts';
import { SegmentLogStore } from './segment-log-store.ts';
import { segmentPath } from './segments.ts';
import { chunk, refOf, textOf } from './testing.ts';

const SEGMENT = 4096;
const DAY_MS = 24 * 3600 * 1000;
let directory: string;
let store: SegmentLogStore;
const open = (maxBytes = 1024 * SEGMENT) =>
  SegmentLogStore.open({ directory, segmentBytes: SEGMENT, maxBytes, freeFloorBytes: 0 });

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'galley-logs-'));
  store = await open();
});
afterEach(async () => {
  await store.close();
  await rm(directory, { recursive: true });
});

/** One segment per job: its end, and a chunk that fills it. */
async function fillSegments(jobs: number): Promise<void> {
  for (let job = 1; job <= jobs; job++) {
    const written = store.append([chunk(refOf(job), 0, 'x'.repeat(SEGMENT))]);
    await Promise.all([written, store.end(refOf(job), { output: SEGMENT })]);
  }
}

async function age(segment: number, days: number): Promise<void> {
  const seconds = (Date.now() - days * DAY_MS) / 1000;
  await utimes(segmentPath(directory, segment), seconds, seconds);
}

const known = async (job: number) => (await store.lengths(refOf(job))).output.known;
const files = async () => (await readdir(join(directory, 'segments'))).length;

it('drops what is old, whole segments at a time, and keeps the rest', async () => {
  await fillSegments(4);
  await age(1, 40);
  await age(2, 35);
  const result = await store.deleteBefore(Date.now() - 30 * DAY_MS);
  expect(result).toMatchObject({ segments: 2, records: 4, done: true });
  expect(await files()).toBe(2);
  for (let restarts = 0; restarts < 2; restarts++) {
    expect(await Promise.all([1, 2, 3, 4].map(known))).toEqual([0, 0, SEGMENT, SEGMENT]);
    await store.close();
    store = await open();
  }
  expect(await store.deleteBefore(Date.now() - 30 * DAY_MS)).toMatchObject({ segments: 0, done: true });
});

it('an old stream that still grows shows what is gone as expired, and its other streams and end stay', async () => {
  const live = refOf(1);
  await store.append([chunk(live, 0, 'a'.repeat(SEGMENT))]);
  await store.append([chunk(live, SEGMENT, 'b'.repeat(100))]);
  await store.end(live, { output: SEGMENT + 200 });
  await age(1, 40);
  await store.deleteBefore(Date.now() - 30 * DAY_MS);
  const page = await store.read({ ref: live, stream: 'output', offset: 10 });
  expect(page.chunks).toMatchObject([
    { kind: 'gap', offset: 10, length: SEGMENT - 10, reason: GAP_EXPIRED },
    { kind: 'data', offset: SEGMENT },
  ]);
  await store.append([chunk(live, SEGMENT + 100, 'c'.repeat(100))]);
  const rest = await store.read({ ref: live, stream: 'output', offset: SEGMENT });
  expect(textOf(rest.chunks)).toBe('b'.repeat(100) + 'c'.repeat(100));
  expect(rest.ended).toBe(true);
});

it('seals and drops a last segment in which everything is old', async () => {
  await store.append([chunk(refOf(1), 0, 'abc')]);
  await store.end(refOf(1), {});
  expect(await store.deleteBefore(Date.now() + 1000)).toMatchObject({ segments: 1, records: 2, done: true });
  expect(await known(1)).toBe(0);
  await store.append([chunk(refOf(2), 0, 'abc')]);
  expect(await known(2)).toBe(3);
});

it('works in slices of the budget and goes on where it stopped', async () => {
  const jobs = Array.from({ length: 13 }, (_, index) => refOf(index + 1));
  const written = store.append(jobs.map((ref) => chunk(ref, 0, 'x'.repeat(300))));
  await Promise.all([written, ...jobs.map((ref) => store.end(ref, {}))]);
  await store.append([chunk(refOf(100), 0, 'young')]);
  await age(1, 40);
  const before = Date.now() - 30 * DAY_MS;
  const runs = [];
  for (let done = false; !done && runs.length < 10; ) {
    const result = await store.deleteBefore(before, { records: 10 });
    runs.push([result.records, result.segments, result.done]);
    done = result.done;
  }
  expect(runs).toEqual([
    [10, 0, false],
    [10, 0, false],
    [6, 1, true],
  ]);
  expect(await known(13)).toBe(0);
  expect(await known(100)).toBe(5);
});

it('an end that was reported again in a younger segment outlives the first report', async () => {
  const ref = refOf(1);
  await store.end(ref, {});
  await store.append([chunk(ref, 0, 'x'.repeat(SEGMENT))]);
  await store.end(ref, { output: SEGMENT });
  await age(1, 40);
  await store.deleteBefore(Date.now() - 30 * DAY_MS);
  expect((await store.lengths(ref)).stdout.final).toBe(0);
});

it('keeps its size bound by itself, oldest first', async () => {
  await store.close();
  store = await open(3 * SEGMENT);
  await fillSegments(10);
  await store.deleteBefore(0);
  const usage = await store.usage();
  expect(usage.bytes).toBeLessThanOrEqual(3 * SEGMENT);
  expect(await known(10)).toBe(SEGMENT);
  expect(await known(1)).toBe(0);
});
