import { join } from 'node:path';
import { LevelPuts } from '../floors/level-puts.ts';
import { distinctJob } from '../jobs.ts';
import { alternate, toRow } from '../rounds.ts';
import { rounded } from '../stats.ts';
import { submitBatches } from '../submit-batches.ts';
import { withGalley } from '../system/galley.ts';
import { atLeast } from '../targets.ts';
import type { Bench } from '../types.ts';

const TARGET_PER_SECOND = 30_000;

/** Durable submits, many jobs a call, from another process. */
export const submitBatched: Bench = {
  name: 'submit-batched',
  run: (context) =>
    withGalley(context, { agent: false }, async (galley) => {
      const [rounds, jobsPerRound, floorMs] = context.quick ? [2, 20_000, 1_000] : [5, 80_000, 2_000];
      const client = galley.client();
      const floor = await LevelPuts.open(join(context.directory, 'floor'));
      try {
        await submitBatches(client, 10_000, distinctJob);
        await galley.begin();
        let clientUs = 0;
        const measured = await alternate(
          rounds,
          async (round) => {
            context.say(`round ${round + 1} of ${rounds}`);
            const before = process.cpuUsage();
            const rate = await submitBatches(client, jobsPerRound, distinctJob);
            const used = process.cpuUsage(before);
            clientUs += used.user + used.system;
            return rate;
          },
          () => floor.run(floorMs),
        );
        const processes = await galley.end();
        const { server } = processes;
        const jobs = rounds * jobsPerRound;
        const row = toRow(
          { name: 'submit-batched', what: 'durable submits, many a call', unit: 'jobs/s', better: 'higher' },
          measured,
          'raw LevelDB, synced batches of the same bytes',
          atLeast(TARGET_PER_SECOND, 'jobs/s'),
        );
        return {
          rows: [row],
          processes,
          detail: {
            jobs,
            clientCpuPerJobUs: rounded(clientUs / jobs),
            serverCpuPerJobUs: rounded((((server?.cpuUserMs ?? 0) + (server?.cpuSystemMs ?? 0)) * 1000) / jobs),
          },
        };
      } finally {
        await floor.close();
      }
    }),
};
