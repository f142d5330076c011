import { setTimeout as delay } from 'node:timers/promises';
import type { JobRequest } from '@galley/sdk';
import { compileProcesses, shellLoop, spawnLoop } from '../floors/processes.ts';
import { alternate, toRow } from '../rounds.ts';
import { median, rounded } from '../stats.ts';
import { submitBatches } from '../submit-batches.ts';
import { withGalley } from '../system/galley.ts';
import { atLeast } from '../targets.ts';
import type { Bench } from '../types.ts';

const TARGET_PER_SECOND = 300;
const MEBIBYTE = 1024 * 1024;
const IN_FLIGHT = 8;
const ROUND_MS = 300_000;
const POLL_MS = 50;

/** A quarter of a vCPU each, so that a small machine runs as many at once as the floors do. */
const TRUE_JOB: JobRequest = { command: ['true'], resources: { vcpus: 0.25, memoryBytes: 32 * MEBIBYTE } };

/** Real processes under real limits, from the submit to the durable record of the last end. */
export const trueJobs: Bench = {
  name: 'true-jobs',
  run: (context) =>
    withGalley(context, { agent: true }, async (galley) => {
      const [rounds, jobs] = context.quick ? [2, 300] : [3, 1_500];
      const client = galley.client();
      const program = compileProcesses(context.directory);
      const shell: number[] = [];
      const run = async (count: number) => {
        const { endedJobs: before } = await client.getClusterStatus();
        const from = performance.now();
        await submitBatches(client, count, () => TRUE_JOB);
        // Asked seldom, since every answer takes time from what is measured.
        while ((await client.getClusterStatus()).endedJobs - before < count) {
          if (performance.now() - from > ROUND_MS) throw new Error(`${count} jobs did not end within ${ROUND_MS} ms`);
          await delay(POLL_MS);
        }
        return (count / (performance.now() - from)) * 1000;
      };
      await run(100);
      await galley.begin();
      const measured = await alternate(
        rounds,
        (round) => {
          context.say(`round ${round + 1} of ${rounds}`);
          return run(jobs);
        },
        async () => {
          const rate = shellLoop(jobs, IN_FLIGHT);
          if (program === undefined) return rate;
          shell.push(rate);
          return spawnLoop(program, jobs, IN_FLIGHT);
        },
      );
      const processes = await galley.end();
      const row = toRow(
        { name: 'true-jobs', what: 'real `true` jobs, submit to durable end', unit: 'jobs/s', better: 'higher' },
        measured,
        program === undefined ? `sh loop, ${IN_FLIGHT} at once` : `posix_spawn loop, ${IN_FLIGHT} at once`,
        atLeast(TARGET_PER_SECOND, 'jobs/s'),
      );
      const perJobUs = (role: string) => {
        const sample = processes[role];
        return rounded((((sample?.cpuUserMs ?? 0) + (sample?.cpuSystemMs ?? 0)) * 1000) / (rounds * jobs));
      };
      return {
        rows: [row],
        processes,
        detail: {
          jobs: rounds * jobs,
          ...(shell.length > 0 ? { shellLoopPerSecond: rounded(median(shell)) } : {}),
          serverCpuPerJobUs: perJobUs('server'),
          agentCpuPerJobUs: perJobUs('agent'),
        },
      };
    }),
};
