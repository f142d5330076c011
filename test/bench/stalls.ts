import { rounded } from './stats.ts';
import type { Sample, Stalls } from './system/probe.ts';
import { atMost } from './targets.ts';
import type { BenchReport, Row } from './types.ts';

const TARGET_MAX_MS = 50;

/** A bare Node process that only measures: how late the machine makes everybody. */
export const CANARY = 'canary';

/** How late the control plane's event loop was during all benchmarks together, beside a process that did nothing. */
export function stallRows(reports: readonly BenchReport[]): Row[] {
  const samplesOf = (role: string) =>
    reports.flatMap(({ processes }) =>
      Object.entries(processes)
        .filter(([name]) => name.startsWith(role))
        .map(([, sample]: [string, Sample]) => sample.stalls),
    );
  const ours = merged(samplesOf('server'));
  const canary = merged(samplesOf(CANARY));
  if (ours.length === 0) return [];
  return [0.5, 0.99, 0.999, 1].map((share) => {
    const name = share === 1 ? 'max' : `p${share * 100}`.replace('.', '');
    const value = rounded(at(ours, share));
    const beside = rounded(at(canary, share));
    return {
      name: `stall-${name}`,
      what: `event loop of the control plane late by, ${share === 1 ? 'at most' : `p${share * 100}`}`,
      unit: 'ms',
      better: 'lower',
      value,
      rounds: [],
      floor: { what: 'a bare node that only measures', value: beside, rounds: [], ratio: rounded(value / beside) },
      ...(share === 1 ? { target: atMost(TARGET_MAX_MS, 'ms')(value) } : {}),
    };
  });
}

interface Bucket {
  readonly lateMs: number;
  readonly samples: number;
}

/** The distributions of several processes as one, by lateness. */
function merged(all: readonly Stalls[]): Bucket[] {
  const buckets = all.flatMap(({ samples, percentiles }) => {
    let below = 0;
    return percentiles.map(([percentile, lateMs]): Bucket => {
      const share = percentile / 100 - below;
      below = percentile / 100;
      return { lateMs, samples: share * samples };
    });
  });
  return buckets.sort((left, right) => left.lateMs - right.lateMs);
}

function at(buckets: readonly Bucket[], share: number): number {
  const total = buckets.reduce((sum, { samples }) => sum + samples, 0);
  let seen = 0;
  for (const { lateMs, samples } of buckets) {
    seen += samples;
    if (share < 1 && seen >= share * total) return lateMs;
  }
  return buckets.at(-1)?.lateMs ?? Number.NaN;
}
