import { join } from 'node:path';
import { tableRange } from '@galley/control-plane/core/records/index.ts';
import { openStore } from '@galley/control-plane/store/level-store.ts';
import { countIn } from '@galley/sdk/state-counts.ts';
import { distinctJob } from '../jobs.ts';
import { rounded } from '../stats.ts';
import { submitBatches } from '../submit-batches.ts';
import { type Galley, withGalley } from '../system/galley.ts';
import type { Sample } from '../system/probe.ts';
import { atMost } from '../targets.ts';
import type { Bench, BenchContext, Row } from '../types.ts';

const TARGET_MIB = 1024;
const TARGET_START_S = 10;
/** The level to which the targets belong. */
const TARGET_JOBS = 1_000_000;
const MEBIBYTE = 1024 * 1024;
/** Between two words about the progress. */
const SLICE_JOBS = 100_000;

interface Level {
  readonly jobs: number;
  readonly fillPerSecond: number;
  readonly filledPeakBytes: number;
  readonly startMs: number;
  readonly startedBytes: number;
  readonly startedPeakBytes: number;
  readonly scanMs: number;
}

/** Memory and start-up with very many waiting jobs. */
export const queued: Bench = {
  name: 'queued',
  async run(context) {
    const levels = context.quick ? [10_000, 50_000] : [100_000, TARGET_JOBS];
    const processes: Record<string, Sample> = {};
    const found: Level[] = [];
    let emptyBytes = 0;
    await withGalley(context, { agent: false }, async (galley) => {
      emptyBytes = galley.server.memory().rssBytes;
      let queuedJobs = 0;
      for (const jobs of levels) {
        found.push(await reach(galley, context, queuedJobs, jobs, processes));
        queuedJobs = jobs;
      }
    });
    return { rows: found.flatMap((level) => rowsOf(level, emptyBytes)), processes, detail: detailOf(found) };
  },
};

async function reach(
  galley: Galley,
  context: BenchContext,
  from: number,
  jobs: number,
  processes: Record<string, Sample>,
): Promise<Level> {
  await galley.begin();
  const client = galley.client();
  const began = performance.now();
  for (let queuedJobs = from; queuedJobs < jobs; queuedJobs += SLICE_JOBS) {
    const slice = Math.min(SLICE_JOBS, jobs - queuedJobs);
    const rate = await submitBatches(client, slice, distinctJob);
    context.say(`${queuedJobs + slice} of ${jobs} jobs queued, ${Math.round(rate)} jobs/s`);
  }
  const fillPerSecond = ((jobs - from) / (performance.now() - began)) * 1000;
  Object.assign(processes, await galley.end(`-fill-${jobs}`));
  const filledPeakBytes = galley.server.memory().peakBytes;
  await galley.stopServer();
  const scanMs = await scanHeaders(join(galley.dataDirectory, 'store'), jobs);
  context.say(`starting with ${jobs} jobs`);
  const startMs = await galley.startServer();
  const { liveJobs } = await galley.client().getClusterStatus();
  const live = countIn(liveJobs);
  if (live !== jobs) throw new Error(`${jobs} jobs were queued, and ${live} are there after a restart`);
  const { rssBytes, peakBytes } = galley.server.memory();
  return { jobs, fillPerSecond, filledPeakBytes, startMs, startedBytes: rssBytes, startedPeakBytes: peakBytes, scanMs };
}

/** The least that a start has to do: open the store and read every live job's header. */
async function scanHeaders(directory: string, jobs: number): Promise<number> {
  const began = performance.now();
  const store = await openStore(directory);
  try {
    let headers = 0;
    for await (const page of store.scan(tableRange('default', 'j'))) headers += page.length;
    if (headers !== jobs) throw new Error(`${jobs} headers expected in ${directory}, and ${headers} are there`);
    return performance.now() - began;
  } finally {
    await store.close();
  }
}

function rowsOf(level: Level, emptyBytes: number): Row[] {
  const { jobs, startMs, scanMs } = level;
  const isTarget = jobs === TARGET_JOBS;
  const peakMiB = rounded(Math.max(level.filledPeakBytes, level.startedPeakBytes) / MEBIBYTE);
  const emptyMiB = rounded(emptyBytes / MEBIBYTE);
  const startS = rounded(startMs / 1000);
  const scanS = rounded(scanMs / 1000);
  return [
    {
      name: `queued-${jobs}-memory`,
      what: `most memory of the control plane, ${count(jobs)} queued`,
      unit: 'MiB',
      better: 'lower',
      value: peakMiB,
      rounds: [level.filledPeakBytes, level.startedPeakBytes].map((bytes) => rounded(bytes / MEBIBYTE)),
      floor: { what: 'the same with an empty queue', value: emptyMiB, rounds: [], ratio: rounded(peakMiB / emptyMiB) },
      ...(isTarget ? { target: atMost(TARGET_MIB, 'MiB')(peakMiB) } : {}),
    },
    {
      name: `queued-${jobs}-start`,
      what: `start to the first answer, ${count(jobs)} queued`,
      unit: 's',
      better: 'lower',
      value: startS,
      rounds: [startS],
      floor: {
        what: 'opening the store and reading the headers',
        value: scanS,
        rounds: [],
        ratio: rounded(startS / scanS),
      },
      ...(isTarget ? { target: atMost(TARGET_START_S, 's')(startS) } : {}),
    },
  ];
}

function detailOf(levels: readonly Level[]): Record<string, number> {
  const entries = levels.flatMap(({ jobs, fillPerSecond, startedBytes }) => [
    [`fill${jobs}PerSecond`, rounded(fillPerSecond)] as const,
    [`started${jobs}MiB`, rounded(startedBytes / MEBIBYTE)] as const,
  ]);
  return Object.fromEntries(entries);
}

function count(jobs: number): string {
  return jobs.toLocaleString('en-US');
}
