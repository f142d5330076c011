import { randomUUID } from 'node:crypto';
import { GalleyError } from '../../errors.ts';
import type { JobRequest, SubmitResult } from '../../submit-request.ts';
import type { SubmittedJob } from '../../types.ts';
import { readTextDocument } from '../document/document.ts';
import { CliError } from '../exit.ts';
import { count, formatBytes } from '../format.ts';
import type { Session } from '../host.ts';
import { findJobIds } from '../job-reference.ts';
import { writeLastJob } from '../last-job.ts';
import { note, print, printJson, widthOf } from '../output.ts';
import { startProgress } from '../progress.ts';
import { describeSubmitted } from '../submit.ts';
import { type Column, formatTable } from '../table.ts';
import { readJobFile } from './job-file.ts';
import { throwInFile, toRequests } from './requests.ts';

export interface SubmitFileOptions {
  readonly file: string;
  readonly dryRun?: boolean;
  /** The same file under the same id is submitted once. Default: a new one. */
  readonly requestId?: string;
  readonly quiet?: boolean;
}

/** Submits the jobs of a file, all or none: nothing leaves before the whole file is right. */
export async function submitFile(session: Session, options: SubmitFileOptions): Promise<number> {
  const document = readTextDocument(options.file);
  const jobs = readJobFile(document, session.env);
  const requestId = options.requestId ?? randomUUID();
  const requests = await toRequests(jobs, requestId, (references) => findJobIds(session, references));
  if (options.dryRun === true) {
    showRequests(session, requests);
    return 0;
  }
  const client = await session.client();
  const progress = startProgress(session.stderr, `submitting ${count(requests.length, 'job')} ...`);
  let results: SubmitResult[];
  try {
    results = await client.submitJobs(requests, { mode: 'atomic' });
  } catch (error) {
    if (isUnknownOutcome(error)) throw unknownOutcome(error, options.file, requestId);
    throwInFile(error, document, jobs);
  } finally {
    progress.stop();
  }
  const submitted = results.map((result) => {
    if (!result.ok) throw result.error;
    return result.job;
  });
  const last = submitted.at(-1);
  if (last !== undefined) writeLastJob(session.env, client, last.jobId);
  showSubmitted(session, submitted, requests, options.quiet === true);
  return 0;
}

function isUnknownOutcome(error: unknown): error is GalleyError {
  return error instanceof GalleyError && ['OUTCOME_UNKNOWN', 'UNAVAILABLE', 'DEADLINE_EXCEEDED'].includes(error.code);
}

/** Without the id that was made for it, a second try would be a second set of jobs. */
function unknownOutcome(error: GalleyError, file: string, requestId: string): CliError {
  return new CliError(`no answer, so the jobs of ${file} may have been submitted: ${error.message}`, [
    `galley submit -f ${file} --request-id ${requestId}   (submits them, unless they were)`,
  ]);
}

function showSubmitted(
  session: Session,
  jobs: readonly SubmittedJob[],
  requests: readonly JobRequest[],
  quiet: boolean,
): void {
  if (session.json) {
    printJson(session, jobs);
    return;
  }
  for (const [at, job] of jobs.entries()) {
    const again = job.existed ? ' (was submitted before)' : '';
    print(session, quiet ? String(job.number) : `${describeSubmitted(job, requests[at] ?? {})}${again}`);
  }
  if (!quiet && session.stderr.isTTY === true)
    note(session, `  galley wait ${jobs.map(({ number }) => number).join(' ')}`);
}

function showRequests(session: Session, requests: readonly JobRequest[]): void {
  if (session.json) {
    printJson(session, requests);
    return;
  }
  const names = new Map(requests.map(({ jobId = '', jobName }, at) => [jobId, jobName ?? `#${at + 1}`]));
  const columns: readonly Column<JobRequest>[] = [
    { header: 'NAME', value: ({ jobId = '' }) => names.get(jobId) ?? '' },
    { header: 'QUEUE', value: ({ jobQueue = 'default' }) => jobQueue },
    { header: 'DEFINITION', value: ({ jobDefinition = 'default' }) => jobDefinition },
    { header: 'VCPU', align: 'right', value: ({ resources }) => String(resources?.vcpus ?? '') },
    { header: 'MEMORY', align: 'right', value: ({ resources }) => sizeText(resources?.memoryBytes) },
    { header: 'AFTER', value: ({ dependsOn = [] }) => dependsOn.map((each) => afterText(each, names)).join(', ') },
    { header: 'COMMAND', value: ({ command = [] }) => command.join(' '), flexible: true },
  ];
  const options = { width: widthOf(session.stdout), colours: session.colours };
  for (const line of formatTable(requests, columns, options)) print(session, line);
  note(session, `${count(requests.length, 'job')} would be submitted; nothing was`);
}

function sizeText(bytes: number | undefined): string {
  return bytes === undefined ? '' : formatBytes(bytes);
}

function afterText(
  dependency: NonNullable<JobRequest['dependsOn']>[number],
  names: ReadonlyMap<string, string>,
): string {
  const { jobId, type } = typeof dependency === 'string' ? { jobId: dependency, type: undefined } : dependency;
  const name = names.get(jobId) ?? jobId;
  return type === undefined ? name : `${name} (${type.toLowerCase().replaceAll('_', ' ')})`;
}
