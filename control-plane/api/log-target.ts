import { type LogSelector, LogStream } from '@galley/proto';
import { attemptKey, decodeAttempt } from '../core/records/index.ts';
import type { EndedAttempt } from '../core/view.ts';
import type { AttemptRef, LogStore, StreamKind } from '../logs/log-store.ts';
import type { Turns } from '../turn/turns.ts';
import { accountOf } from './accounts.ts';
import type { DefinitionCache } from './definitions.ts';
import { invalid } from './errors.ts';
import { type FoundJob, isEnded, type JobLookup } from './job-lookup.ts';
import { readSpec } from './specs.ts';

/** Which stream of which attempt a selector means. */
export interface LogTarget {
  readonly job: FoundJob;
  /** 0: none has begun yet. */
  readonly attempt: number;
  readonly stream: StreamKind;
  readonly separateStreams: boolean;
}

export const STREAMS: readonly { readonly kind: StreamKind; readonly message: LogStream }[] = [
  { kind: 'output', message: LogStream.OUTPUT },
  { kind: 'stdout', message: LogStream.STDOUT },
  { kind: 'stderr', message: LogStream.STDERR },
];

/** What finding a log takes. */
export interface TargetParts {
  readonly turns: Turns;
  readonly logs: LogStore;
  readonly definitions: DefinitionCache;
  readonly lookup: JobLookup;
}

/** The latest attempt where none is given; where no stream is given OUTPUT, or STDOUT of a job that keeps two. */
export async function findLog(parts: TargetParts, selector: LogSelector): Promise<LogTarget> {
  const job = await parts.lookup.find(accountOf(selector), selector.jobId, 'log.job_id');
  if (job.array !== undefined) {
    throw invalid(
      'log.job_id',
      `job ${job.number} is an array; a child of it is ${job.number}:0 to ${job.number}:${job.array.size - 1}`,
    );
  }
  const begun = attemptsOf(job);
  if (selector.attempt > begun) {
    throw invalid('log.attempt', `the job has had ${begun} attempts, got ${selector.attempt}`);
  }
  const separateStreams = await hasSeparateStreams(parts, job);
  const stream = STREAMS.find(({ message }) => message === selector.stream)?.kind;
  return {
    job,
    attempt: selector.attempt === 0 ? begun : selector.attempt,
    stream: stream ?? (separateStreams ? 'stdout' : 'output'),
    separateStreams,
  };
}

/** The rules of the contract require it. */
export function selectorOf({ log }: { readonly log?: LogSelector | undefined }): LogSelector {
  if (log === undefined) throw invalid('log', 'required, got nothing');
  return log;
}

export function attemptsOf(job: FoundJob): number {
  return isEnded(job) ? job.attempts : job.attempt;
}

export function refOf(job: FoundJob, attempt: number): AttemptRef {
  return { jobNumber: job.number, childIndex: job.child, attempt };
}

async function hasSeparateStreams({ turns, definitions }: TargetParts, job: FoundJob): Promise<boolean> {
  const request = await readSpec(turns.store, job);
  const mine = request?.task?.separateStreams;
  if (mine !== undefined) return mine;
  return definitions.pinned(turns.view, job.account, job.definition)?.message.task?.separateStreams ?? false;
}

/**
 * Makes sure that a stream whose attempt is over has an end. Usually the agent plane has said so already; after a crash
 * between the turn and the log store it has not, and whoever follows would wait for ever.
 */
export async function settleEnd(
  { turns, logs }: Pick<TargetParts, 'turns' | 'logs'>,
  job: FoundJob,
  attempt: number,
): Promise<void> {
  const over = await endedAttempt(turns, job, attempt);
  if (over === undefined) return;
  const ref = refOf(job, attempt);
  const lengths = await logs.lengths(ref);
  if (STREAMS.every(({ kind }) => lengths[kind].final !== undefined)) return;
  const finals = STREAMS.flatMap(({ kind }, at) => {
    const length = over.logLengths[at];
    return length === undefined ? [] : [[kind, length] as const];
  });
  await logs.end(ref, Object.fromEntries(finals));
}

/** The record of an attempt that is over; undefined while it is placed. */
async function endedAttempt(turns: Turns, job: FoundJob, attempt: number): Promise<EndedAttempt | undefined> {
  if (isEnded(job) && job.lastAttempt?.attempt === attempt) return job.lastAttempt;
  if (!isEnded(job) && job.attempt === attempt && job.node !== '') return undefined;
  const bytes = await turns.store.get(attemptKey(job.account, job.number, attempt, job.child));
  return bytes === undefined ? undefined : decodeAttempt(bytes);
}
