import type { Command } from 'commander';
import { isTerminal, type JobSummary } from '../../types.ts';
import { EXIT_TIMED_OUT } from '../exit.ts';
import { count } from '../format.ts';
import { leaf } from '../global-options.ts';
import type { Host } from '../host.ts';
import { untilInterrupted } from '../interrupt.ts';
import { describeEnd, exitCodeOf } from '../job-exit.ts';
import { describeChildren } from '../job-label.ts';
import { findJobIds, JOB_REFERENCE_HELP } from '../job-reference.ts';
import { note, print, printJsonLine } from '../output.ts';
import { parseDuration } from '../parse.ts';
import { startProgress } from '../progress.ts';

export function waitCommand(host: Host): Command {
  const command = leaf('wait', 'wait until jobs are over; exit as the first of them that failed')
    .argument('<job...>', JOB_REFERENCE_HELP)
    .option('--timeout <duration>', 'give up after this long, with exit code 124', parseDuration)
    .option('--quiet', 'say nothing');
  return command.action((references: string[]) =>
    host.run(command, async (session) => {
      const options = command.opts<{ timeout?: number; quiet?: boolean }>();
      const client = await session.client();
      const ids = await findJobIds(session, references);
      const ended = new Map<string, JobSummary>();
      const open = () => [...new Set(ids)].filter((id) => !ended.has(id));
      const stillRuns = () => [
        `${count(open().length, 'job')} of ${new Set(ids).size} not over, going on without you; see \`galley jobs\``,
      ];
      const progress = startProgress(session.stderr, `waiting for ${count(ids.length, 'job')} ...`);
      return untilInterrupted(session, stillRuns, async (interrupted) => {
        const timeout = options.timeout === undefined ? undefined : AbortSignal.timeout(options.timeout);
        const signal = AbortSignal.any([interrupted, ...(timeout === undefined ? [] : [timeout])]);
        try {
          for await (const job of client.watchJobs([...new Set(ids)], { signal })) {
            if (!isTerminal(job.state)) {
              if (ids.length === 1) progress.set(`waiting for ${describeChildren(job) ?? count(1, 'job')} ...`);
              continue;
            }
            ended.set(job.jobId, job);
            progress.set(`waiting for ${count(open().length, 'job')} ...`);
            if (session.json) printJsonLine(session, job);
            else if (options.quiet !== true) print(session, describeEnd(job));
          }
        } catch (error) {
          if (timeout?.aborted !== true || interrupted.aborted) throw error;
          if (options.quiet !== true) note(session, `galley: timed out; ${stillRuns().join('')}`);
          return EXIT_TIMED_OUT;
        } finally {
          progress.stop();
        }
        return ids
          .map((id) => ended.get(id))
          .reduce((code, job) => code || (job === undefined ? 0 : exitCodeOf(job)), 0);
      });
    }),
  );
}
