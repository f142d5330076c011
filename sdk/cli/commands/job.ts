import type { Command } from 'commander';
import type { Attempt, Job, JobSummary } from '../../types.ts';
import { isTerminal } from '../../types.ts';
import type { Colours } from '../colours.ts';
import {
  formatBytes,
  formatDuration,
  formatExit,
  formatReason,
  formatResources,
  formatTime,
  formatTries,
} from '../format.ts';
import { leaf } from '../global-options.ts';
import type { Host } from '../host.ts';
import { describeChildren, jobLabel } from '../job-label.ts';
import { findJobs, JOB_REFERENCE_HELP } from '../job-reference.ts';
import { note, print, printJson, widthOf } from '../output.ts';
import { quoteCommand } from '../quote.ts';
import { type Column, formatFields, formatTable } from '../table.ts';

export function jobCommand(host: Host): Command {
  const command = leaf('job', 'show everything about jobs').argument('<job...>', JOB_REFERENCE_HELP);
  return command.action((references: string[]) =>
    host.run(command, async (session) => {
      const jobs = await findJobs(session, references);
      if (session.json) {
        printJson(session, jobs.length === 1 ? jobs[0] : jobs);
        return 0;
      }
      jobs.forEach((job, index) => {
        if (index > 0) print(session, '');
        for (const line of describeJob(job, Date.now(), session.colours, widthOf(session.stdout))) print(session, line);
      });
      const only = jobs.length === 1 ? jobs[0]?.summary : undefined;
      if (only !== undefined && session.stderr.isTTY === true) {
        note(session, `\n  ${nextCommands(only)}`);
      }
      return 0;
    }),
  );
}

function nextCommands(job: JobSummary): string {
  const label = jobLabel(job);
  const over = isTerminal(job.state);
  if (job.array !== undefined) {
    const next = over ? (job.state === 'FAILED' ? `   galley rerun ${label}` : '') : `   galley cancel ${label}`;
    return `galley jobs --children ${label}${next}`;
  }
  return over ? `galley logs ${label}` : `galley logs -f ${label}   galley cancel ${label}`;
}

/** One screen about one job. */
export function describeJob(job: Job, nowMs: number, colours: Colours, width: number): string[] {
  const { summary, task, request, timeout, retryStrategy } = job;
  const { state, startedAtMs, stoppedAtMs, createdAtMs } = summary;
  const time = (ms: number | undefined) => (ms === undefined ? undefined : formatTime(ms));
  const fields = formatFields(
    [
      ['Job', `${jobLabel(summary)}  ${summary.jobName}`],
      ['Id', summary.jobId],
      ['State', stateText(state, summary.nodeSilent)],
      ['Children', describeChildren(summary)],
      ['Index', summary.givenIndex === undefined ? undefined : `${summary.givenIndex}, as it was given`],
      ['Reason', formatReason(summary)],
      ['Waits', job.pendingReason || undefined],
      ['Waits for', job.waitingFor.join(', ')],
      ['Exit', formatExit(summary)],
      ['Image', task?.container?.image],
      ['Command', quoteCommand(task?.command ?? [])],
      ['Resources', formatResources(summary.resources)],
      ['Queue', summary.jobQueue],
      ['Definition', summary.jobDefinition],
      ['User', summary.user],
      ['Node', summary.node],
      ['Directory', task?.workingDirectory],
      ['Environment', Object.keys(task?.environment ?? {}).join(', ')],
      ['Depends on', (request?.dependsOn ?? []).map(({ jobId }) => jobId).join(', ')],
      ['Time-out', timeout === undefined ? undefined : formatDuration(timeout.attemptDurationSeconds * 1000)],
      ['Tries', formatTries(retryStrategy)],
      ['Comment', request?.comment],
      ['Created', time(createdAtMs)],
      ['Started', time(startedAtMs)],
      ['Stopped', time(stoppedAtMs)],
      ['Ran', startedAtMs === undefined ? undefined : formatDuration((stoppedAtMs ?? nowMs) - startedAtMs)],
    ],
    colours,
  );
  const attempts = formatTable(job.attempts, attemptColumns(nowMs, job.attempts), { width, colours });
  return attempts.length === 0 ? fields : [...fields, '', ...attempts];
}

/** As engines show them; `--json` has all of it. */
function shortDigest(digest = ''): string {
  return digest.replace(/^sha256:/, '').slice(0, 12);
}

function stateText(state: string, nodeSilent: boolean): string {
  return nodeSilent ? `${state} (node silent: what is shown is the last that was known)` : state;
}

function attemptColumns(nowMs: number, attempts: readonly Attempt[]): readonly Column<Attempt>[] {
  const image: Column<Attempt> = { header: 'IMAGE', value: ({ imageDigest }) => shortDigest(imageDigest) };
  return [
    { header: 'ATTEMPT', align: 'right', value: ({ attempt }) => String(attempt) },
    { header: 'NODE', value: ({ node }) => node },
    { header: 'STARTED', value: ({ startedAtMs }) => (startedAtMs === undefined ? '' : formatTime(startedAtMs)) },
    {
      header: 'TIME',
      align: 'right',
      value: ({ startedAtMs, stoppedAtMs }) =>
        startedAtMs === undefined ? '' : formatDuration((stoppedAtMs ?? nowMs) - startedAtMs),
    },
    { header: 'EXIT', align: 'right', value: formatExit },
    {
      header: 'PEAK MEMORY',
      align: 'right',
      value: ({ peakMemoryBytes }) => (peakMemoryBytes === undefined ? '' : formatBytes(peakMemoryBytes)),
    },
    {
      header: 'CPU TIME',
      align: 'right',
      value: ({ cpuTimeUs }) => (cpuTimeUs === undefined ? '' : formatDuration(cpuTimeUs / 1000)),
    },
    ...(attempts.some(({ imageDigest }) => shortDigest(imageDigest) !== '') ? [image] : []),
    { header: 'REASON', value: formatReason, flexible: true },
  ];
}
