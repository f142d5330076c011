import type { Command } from 'commander';
import type { GalleyClient } from '../../client.ts';
import { isTerminal, type JobSummary } from '../../types.ts';
import { leaf } from '../global-options.ts';
import type { Host, Session } from '../host.ts';
import { untilInterrupted } from '../interrupt.ts';
import { describeEnd, exitCodeOf } from '../job-exit.ts';
import { addJobOptions, type JobOptions } from '../job-options.ts';
import { followStream } from '../log-printer.ts';
import { note, printJsonLine } from '../output.ts';
import { startProgress } from '../progress.ts';
import { describeSubmitted, submitFromOptions } from '../submit.ts';

/** After a job's end the rest of its log arrives at once, or there is something wrong with it. */
const LOG_REST_TIMEOUT_MS = 30_000;

export function runCommand(host: Host): Command {
  const command = leaf('run', "submit a job, show its output as it is written, and exit with the job's code")
    .argument('[command...]', 'program and arguments, after --')
    .passThroughOptions()
    .option('--quiet', "nothing but the job's output");
  addJobOptions(command, host.env);
  return command.action((words: string[]) =>
    host.run(command, async (session) => {
      const options = command.opts<JobOptions & { quiet?: boolean }>();
      const client = await session.client();
      let number: number | undefined;
      const whatRuns = () =>
        number === undefined
          ? ['nothing is known to have been submitted; see `galley jobs`']
          : [
              `job ${number} goes on; watch it with \`galley logs -f ${number}\`, end it with \`galley cancel ${number}\``,
            ];
      return untilInterrupted(session, whatRuns, async (signal) => {
        const { job, request } = await submitFromOptions(session, client, options, words);
        number = job.number;
        signal.throwIfAborted();
        const quiet = options.quiet === true || session.json;
        if (!quiet) note(session, describeSubmitted(job, request));
        const ended = await followToEnd(session, client, job.jobId, options.separateStreams === true, signal);
        if (session.json) printJsonLine(session, ended);
        else if (!quiet && ended.state === 'FAILED') note(session, describeEnd(ended));
        return exitCodeOf(ended);
      });
    }),
  );
}

async function followToEnd(
  session: Session,
  client: GalleyClient,
  jobId: string,
  separate: boolean,
  signal: AbortSignal,
): Promise<JobSummary> {
  const progress = startProgress(session.stderr, 'waiting ...');
  const rest = new AbortController();
  const following = AbortSignal.any([signal, rest.signal]);
  const streams = separate ? (['STDOUT', 'STDERR'] as const) : (['OUTPUT'] as const);
  let logs: Promise<unknown> | undefined;
  const onChange = (job: JobSummary) => {
    if (!isTerminal(job.state)) progress.set(waitingText(job));
    const hasRun = job.attempts > 0 || job.startedAtMs !== undefined;
    if (logs !== undefined || !(job.state === 'RUNNING' || (isTerminal(job.state) && hasRun))) return;
    progress.stop();
    logs = Promise.all(
      streams.map((stream) =>
        followStream(session, client, jobId, { stream, attempt: 1, allAttempts: true, signal: following }),
      ),
    );
    // Its failure is told after the job's end, below; until then the job is what matters.
    logs.catch(() => undefined);
  };
  try {
    const { summary } = await client.waitForJob(jobId, { signal, onChange });
    const timer = setTimeout(() => rest.abort(), LOG_REST_TIMEOUT_MS);
    try {
      await logs;
    } catch (error) {
      if (signal.aborted) throw error;
      note(session, `galley: the log may be incomplete: ${(error as Error).message} (galley logs ${summary.number})`);
    } finally {
      clearTimeout(timer);
    }
    return summary;
  } finally {
    rest.abort();
    progress.stop();
  }
}

function waitingText({ number, state, statusReason }: JobSummary): string {
  return `job ${number} is ${state}${statusReason === '' ? '' : `: ${statusReason}`} ...`;
}
