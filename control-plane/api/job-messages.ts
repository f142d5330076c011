import { create } from '@bufbuild/protobuf';
import {
  type Attempt,
  AttemptSchema,
  type JobSummary,
  JobSummarySchema,
  type Resources,
  ResourcesSchema,
} from '@galley/proto';
import { DEPENDENCY_FAILED, QUEUE_DELETED } from '../core/jobs/texts.ts';
import { EndCause, type Requirements } from '../core/types.ts';
import type { EndedAttempt, EndedJob, LiveJob } from '../core/view.ts';
import { arrayStatusOf } from './arrays.ts';
import { type FoundJob, isEnded, jobIdText } from './job-lookup.ts';

// Jobs as the contract shows them.

/** The name stands in the job's request, which is not at hand everywhere. */
export function toSummary(job: FoundJob, jobName: string, givenIndex?: number): JobSummary {
  const summary = create(JobSummarySchema, {
    jobId: jobIdText(job),
    number: BigInt(job.number),
    account: job.account,
    jobName,
    jobQueue: job.queue,
    jobDefinition: job.definition,
    state: job.state,
    user: job.user,
    createdAtMs: BigInt(job.createdAtMs),
    runnableAtMs: BigInt(job.runnableAtMs),
    cancelRequested: job.cancelRequested,
    terminateRequested: job.terminateRequested,
  });
  summary.resources = toResourcesOf(job.requirements);
  const array = arrayStatusOf(job);
  if (array !== undefined) summary.array = array;
  if (job.child >= 0) summary.arrayIndex = job.child;
  if (givenIndex !== undefined) summary.givenIndex = givenIndex;
  if (isEnded(job)) fillEnded(summary, job);
  else fillLive(summary, job);
  return summary;
}

function fillLive(summary: JobSummary, job: LiveJob): void {
  summary.startedAtMs = BigInt(job.startedAtMs);
  summary.attempts = job.attempt;
  summary.node = job.node;
  summary.nodeSilent = job.nodeSilent;
  summary.statusReason = job.reason;
  summary.held = job.held;
}

function fillEnded(summary: JobSummary, job: EndedJob): void {
  const last = job.lastAttempt;
  summary.stoppedAtMs = BigInt(job.stoppedAtMs);
  summary.statusReason = job.statusReason;
  summary.attempts = job.attempts;
  summary.cause = causeOf(job);
  if (last === undefined) return;
  summary.startedAtMs = BigInt(last.startedAtMs);
  summary.node = last.node;
  summary.reason = last.reason;
  if (last.exitCode !== undefined) summary.exitCode = last.exitCode;
  if (last.signal !== undefined) summary.signal = last.signal;
}

export function causeOf(job: EndedJob): EndCause {
  return job.lastAttempt?.cause ?? causeWithoutAttempt(job);
}

/** Why a job ended that was never placed: its record keeps the text only. */
function causeWithoutAttempt(job: EndedJob): EndCause {
  if (job.cause !== undefined) return job.cause;
  if (job.cancelRequested || job.terminateRequested) return EndCause.stopped;
  if (job.statusReason === DEPENDENCY_FAILED) return EndCause.dependencyFailed;
  if (job.statusReason === QUEUE_DELETED) return EndCause.queueDeleted;
  return EndCause.none;
}

export function toAttempt(attempt: EndedAttempt): Attempt {
  const message = create(AttemptSchema, {
    attempt: attempt.attempt,
    node: attempt.node,
    placedAtMs: BigInt(attempt.placedAtMs),
    startedAtMs: BigInt(attempt.startedAtMs),
    stoppedAtMs: BigInt(attempt.stoppedAtMs),
    cause: attempt.cause,
    statusReason: attempt.statusReason,
    reason: attempt.reason,
    logLengths: attempt.logLengths.map(BigInt),
    imageDigest: attempt.imageDigest,
  });
  if (attempt.exitCode !== undefined) message.exitCode = attempt.exitCode;
  if (attempt.signal !== undefined) message.signal = attempt.signal;
  if (attempt.peakMemoryBytes !== undefined) message.peakMemoryBytes = BigInt(attempt.peakMemoryBytes);
  if (attempt.cpuTimeUs !== undefined) message.cpuTimeUs = BigInt(attempt.cpuTimeUs);
  return message;
}

/** The attempt that is placed now; undefined when none is. */
export function currentAttempt(job: LiveJob): Attempt | undefined {
  if (job.node === '') return undefined;
  return create(AttemptSchema, {
    attempt: job.attempt,
    node: job.node,
    placedAtMs: BigInt(job.placedAtMs),
    startedAtMs: BigInt(job.startedAtMs),
  });
}

/** What the scheduler places by; swap and pids are the node's concern. */
export function toResourcesOf(requirements: Requirements): Resources {
  return create(ResourcesSchema, {
    milliVcpu: BigInt(requirements.milliVcpu),
    memoryBytes: BigInt(requirements.memoryBytes),
    named: requirements.named.map(({ name, count }) => ({ name, count: BigInt(count) })),
  });
}
