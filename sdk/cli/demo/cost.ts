import type { Job } from '../../types.ts';
import { formatBytes, formatDuration } from '../format.ts';

/** What a batch cost. */
export interface Cost {
  readonly jobs: number;
  readonly wallTimeMs: number;
  /** Undefined where nothing measures it: an agent without cgroups. */
  readonly cpuTimeMs: number | undefined;
  readonly peakMemoryMaxBytes: number | undefined;
  readonly peakMemoryMedianBytes: number | undefined;
  readonly medianRunTimeMs: number | undefined;
}

export function costOf(jobs: readonly Job[]): Cost {
  const attempts = jobs.flatMap((job) => job.attempts);
  const created = jobs.flatMap(({ summary }) => summary.createdAtMs ?? []);
  const stopped = jobs.flatMap(({ summary }) => summary.stoppedAtMs ?? []);
  const peaks = attempts.flatMap(({ peakMemoryBytes }) => peakMemoryBytes ?? []);
  const cpuTimes = attempts.flatMap(({ cpuTimeUs }) => cpuTimeUs ?? []);
  const runs = attempts.flatMap(({ startedAtMs, stoppedAtMs }) =>
    startedAtMs === undefined || stoppedAtMs === undefined ? [] : stoppedAtMs - startedAtMs,
  );
  return {
    jobs: jobs.length,
    wallTimeMs: created.length === 0 || stopped.length === 0 ? 0 : Math.max(...stopped) - Math.min(...created),
    cpuTimeMs: cpuTimes.length === 0 ? undefined : cpuTimes.reduce((sum, time) => sum + time, 0) / 1000,
    peakMemoryMaxBytes: peaks.length === 0 ? undefined : Math.max(...peaks),
    peakMemoryMedianBytes: median(peaks),
    medianRunTimeMs: median(runs),
  };
}

const NOT_MEASURED = 'not measured: no cgroups here';

/** The rows of the table that ends the demo. */
export function costFields(cost: Cost): [string, string | undefined][] {
  const { peakMemoryMaxBytes: most, peakMemoryMedianBytes: median } = cost;
  return [
    ['Jobs', String(cost.jobs)],
    ['Wall time', formatDuration(cost.wallTimeMs)],
    ['A job ran', cost.medianRunTimeMs === undefined ? undefined : `${formatDuration(cost.medianRunTimeMs)} (median)`],
    ['CPU time', cost.cpuTimeMs === undefined ? NOT_MEASURED : formatDuration(cost.cpuTimeMs)],
    [
      'Peak memory',
      most === undefined ? NOT_MEASURED : `${formatBytes(most)} at most, ${formatBytes(median ?? most)} median`,
    ],
  ];
}

function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}
