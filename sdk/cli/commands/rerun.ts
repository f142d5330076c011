import type { Command } from 'commander';
import type { EndCauseName } from '../../types.ts';
import { leaf } from '../global-options.ts';
import type { Host } from '../host.ts';
import { findJobIds, JOB_REFERENCE_HELP } from '../job-reference.ts';
import { note, print, printJson } from '../output.ts';
import { parseCpus, parseMemory } from '../parse.ts';

interface RerunOptions {
  readonly failed?: boolean;
  readonly timedOut?: boolean;
  readonly outOfMemory?: boolean;
  readonly memory?: number;
  readonly cpus?: number;
}

export function rerunCommand(host: Host): Command {
  const command = leaf('rerun', 'run ended jobs again that failed; of an array, the children that did')
    .argument('<job...>', JOB_REFERENCE_HELP)
    .option('--failed', 'all that failed (default)')
    .option('--timed-out', 'those that ran into their time-out')
    .option('--out-of-memory', 'those that ran out of memory')
    .option('--memory <size>', 'with this much memory', parseMemory)
    .option('--cpus <number>', 'with so many vCPUs', parseCpus);
  return command.action((references: string[]) =>
    host.run(command, async (session) => {
      const options = command.opts<RerunOptions>();
      const { memory, cpus } = options;
      const resources = {
        ...(memory === undefined ? {} : { memoryBytes: memory }),
        ...(cpus === undefined ? {} : { vcpus: cpus }),
      };
      const client = await session.client();
      const jobs = await client.rerunJobs(await findJobIds(session, references), {
        causes: causesOf(options),
        ...(Object.keys(resources).length === 0 ? {} : { resources }),
      });
      if (session.json) printJson(session, jobs);
      else if (jobs.length === 0) note(session, 'nothing of it failed that way; nothing is run again');
      else for (const job of jobs) print(session, `Job ${job.number} (${job.jobName}) in queue ${job.jobQueue}`);
      return 0;
    }),
  );
}

/** None: whatever failed. */
function causesOf({ failed = false, timedOut = false, outOfMemory = false }: RerunOptions): EndCauseName[] {
  if (failed) return [];
  return [...(timedOut ? (['TIMED_OUT'] as const) : []), ...(outOfMemory ? (['OUT_OF_MEMORY'] as const) : [])];
}
