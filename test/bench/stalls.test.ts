import { expect, test } from 'vitest';
import { stallRows } from './stalls.ts';
import type { Sample } from './system/probe.ts';
import type { BenchReport } from './types.ts';

function sample(samples: number, percentiles: readonly (readonly [number, number])[]): Sample {
  const maxMs = percentiles.at(-1)?.[1] ?? 0;
  return {
    wallMs: samples,
    cpuUserMs: 0,
    cpuSystemMs: 0,
    loopBusy: 0,
    rssBytes: 0,
    heapBytes: 0,
    externalBytes: 0,
    collections: { count: 0, totalMs: 0, maxMs: 0 },
    stalls: { samples, p50Ms: 0, p99Ms: 0, p999Ms: 0, maxMs, percentiles },
  };
}

function report(name: string, server: Sample, canary: Sample): BenchReport {
  return { name, seconds: 1, rows: [], processes: { [`server-${name}`]: server, canary }, detail: {}, profiles: {} };
}

test('stalls of several processes are one distribution, weighted by their samples', () => {
  const calm = report(
    'calm',
    sample(900, [
      [50, 0.1],
      [100, 0.2],
    ]),
    sample(10, [[100, 3]]),
  );
  const busy = report(
    'busy',
    sample(100, [
      [50, 10],
      [100, 60],
    ]),
    sample(10, [[100, 5]]),
  );
  const rows = new Map(stallRows([calm, busy]).map((row) => [row.name, row]));
  expect(rows.get('stall-p50')?.value).toBe(0.2);
  expect(rows.get('stall-p99')?.value).toBe(60);
  expect(rows.get('stall-max')).toMatchObject({ value: 60, floor: { value: 5, ratio: 12 }, target: { met: false } });
});

test('nothing measured, nothing said', () => {
  expect(stallRows([])).toEqual([]);
});
