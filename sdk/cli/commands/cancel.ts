import type { Command } from 'commander';
import type { CancelledJob } from '../../types.ts';
import { EXIT_GALLEY } from '../exit.ts';
import { leaf } from '../global-options.ts';
import type { Host } from '../host.ts';
import { findJobIds, JOB_REFERENCE_HELP } from '../job-reference.ts';
import { print, printJson } from '../output.ts';
import { parseSeconds } from '../parse.ts';

interface CancelCommandOptions {
  readonly pendingOnly?: boolean;
  readonly reason: string;
  readonly grace?: number;
}

export function cancelCommand(host: Host): Command {
  const command = leaf('cancel', 'end jobs, in whatever state they are')
    .argument('<job...>', JOB_REFERENCE_HELP)
    .option('--pending-only', "leave jobs alone that have begun to start (AWS's CancelJob)")
    .option('--reason <text>', "becomes the job's status reason", 'Cancelled')
    .option('--grace <duration>', "between SIGTERM and SIGKILL (default: the job's own)", parseSeconds);
  return command.action((references: string[]) =>
    host.run(command, async (session) => {
      const { pendingOnly = false, reason, grace } = command.opts<CancelCommandOptions>();
      const client = await session.client();
      const ids = await findJobIds(session, references);
      const results = await client.cancelJobs(ids, {
        pendingOnly,
        reason,
        ...(grace === undefined ? {} : { graceSeconds: grace }),
      });
      if (session.json) printJson(session, results);
      else results.forEach((result) => print(session, describe(result)));
      return results.some(({ outcome }) => outcome === 'UNKNOWN_JOB') ? EXIT_GALLEY : 0;
    }),
  );
}

function describe({ jobId, number: parent, outcome, state }: CancelledJob): string {
  const number = `${parent}${/:\d+$/.exec(jobId)?.[0] ?? ''}`;
  switch (outcome) {
    case 'ENDED':
      return `Job ${number} had not started; it is cancelled`;
    case 'STOPPING':
      return `Job ${number} is being stopped; \`galley wait ${number}\` waits for its end`;
    case 'ALREADY_ENDED':
      return `Job ${number} was over (${state ?? 'ended'})`;
    case 'LEFT_RUNNING':
      return `Job ${number} is ${state ?? 'running'}: left alone; without --pending-only it is stopped`;
    case 'UNKNOWN_JOB':
      return `No job has the id ${jobId}`;
  }
}
