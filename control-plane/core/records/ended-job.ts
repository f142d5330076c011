import { RangeSet } from '../arrays/range-set.ts';
import type { EndCause, JobState } from '../types.ts';
import type { EndedArray, EndedAttempt, EndedJob } from '../view.ts';
import { RecordReader, RecordWriter } from './codec.ts';
import { list, readRequirements, writeRequirements } from './parts.ts';

const VERSION = 1;
const out = new RecordWriter();

export function encodeEndedJob(job: EndedJob): Uint8Array {
  out.start(VERSION).uint(job.number).raw(job.id).raw(job.digest).text(job.account).byte(job.state);
  out.text(job.queue).text(job.definition).text(job.user).text(job.submittedBy);
  writeRequirements(out, job.requirements);
  out.uint(job.priority).byte((job.cancelRequested ? 1 : 0) | (job.terminateRequested ? 2 : 0));
  out.uint(job.createdAtMs).uint(job.runnableAtMs).uint(job.stoppedAtMs).text(job.statusReason).uint(job.attempts);
  if (job.lastAttempt === undefined) out.byte(0);
  else writeAttempt(out.byte(1), job.lastAttempt);
  const { array } = job;
  if (array === undefined) return out.byte(0).finish();
  out.byte(1).uint(array.size).uint(array.succeeded).uint(array.changedAtMs);
  return array.failed.write(out).finish();
}

export function decodeEndedJob(bytes: Uint8Array): EndedJob {
  const input = new RecordReader(bytes);
  input.version(VERSION);
  const number = input.uint();
  const id = input.raw(16);
  const digest = input.raw(16);
  const account = input.text();
  const state = input.byte() as JobState;
  const queue = input.text();
  const definition = input.text();
  const user = input.text();
  const submittedBy = input.text();
  const requirements = readRequirements(input);
  const priority = input.uint();
  const flags = input.byte();
  return {
    number,
    id,
    digest,
    account,
    state,
    queue,
    definition,
    user,
    submittedBy,
    requirements,
    priority,
    cancelRequested: (flags & 1) !== 0,
    terminateRequested: (flags & 2) !== 0,
    createdAtMs: input.uint(),
    runnableAtMs: input.uint(),
    stoppedAtMs: input.uint(),
    statusReason: input.text(),
    attempts: input.uint(),
    lastAttempt: input.byte() === 0 ? undefined : readAttempt(input),
    child: -1,
    array: input.byte() === 0 ? undefined : readArray(input),
  };
}

function readArray(input: RecordReader): EndedArray {
  const size = input.uint();
  const succeeded = input.uint();
  const changedAtMs = input.uint();
  return { size, succeeded, changedAtMs, failed: RangeSet.read(input) };
}

/** The record of an attempt that was followed by another. */
export function encodeAttempt(attempt: EndedAttempt): Uint8Array {
  writeAttempt(out.start(VERSION), attempt);
  return out.finish();
}

export function decodeAttempt(bytes: Uint8Array): EndedAttempt {
  const input = new RecordReader(bytes);
  input.version(VERSION);
  return readAttempt(input);
}

export function writeAttempt(to: RecordWriter, attempt: EndedAttempt): void {
  to.uint(attempt.attempt)
    .text(attempt.node)
    .uint(attempt.placedAtMs)
    .uint(attempt.startedAtMs)
    .uint(attempt.stoppedAtMs);
  to.byte(attempt.cause).optional(attempt.exitCode).optional(attempt.signal);
  to.text(attempt.statusReason).text(attempt.reason).optional(attempt.peakMemoryBytes).optional(attempt.cpuTimeUs);
  to.uint(attempt.logLengths.length);
  for (const length of attempt.logLengths) to.uint(length);
  to.text(attempt.imageDigest);
}

export function readAttempt(input: RecordReader): EndedAttempt {
  return {
    attempt: input.uint(),
    node: input.text(),
    placedAtMs: input.uint(),
    startedAtMs: input.uint(),
    stoppedAtMs: input.uint(),
    cause: input.byte() as EndCause,
    exitCode: input.optional(),
    signal: input.optional(),
    statusReason: input.text(),
    reason: input.text(),
    peakMemoryBytes: input.optional(),
    cpuTimeUs: input.optional(),
    logLengths: list(input, () => input.uint()),
    imageDigest: input.text(),
  };
}
