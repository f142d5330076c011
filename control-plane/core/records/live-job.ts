import type { JobIdBytes, JobState, NewArray, OnNodeLost, Requirements, RetryPolicy } from '../types.ts';
import { RecordReader, RecordWriter } from './codec.ts';
import { readRequirements, readRetry, writeRequirements, writeRetry } from './parts.ts';

/** 2: an array. */
const VERSION = 2;

/** The header of a live job: everything that the core schedules by, and nothing else. */
export interface LiveJobRecord {
  readonly number: number;
  readonly id: JobIdBytes;
  readonly digest: Uint8Array;
  readonly state: JobState;
  readonly flags: number;
  readonly queue: string;
  readonly definition: string;
  readonly user: string;
  readonly submittedBy: string;
  readonly priority: number;
  readonly requirements: Requirements;
  readonly retry: RetryPolicy;
  readonly onNodeLost: OnNodeLost;
  readonly createdAtMs: number;
  readonly runnableAtMs: number;
  readonly attempt: number;
  /** The attempt that is placed. */
  readonly placed: PlacedRecord | undefined;
  readonly array: LiveArrayRecord | undefined;
}

/** What an array's children have in common; what differs is in records of their own. */
export interface LiveArrayRecord extends NewArray {
  readonly closed: boolean;
  readonly reason: string;
  readonly stopGraceSeconds: number | undefined;
}

export interface PlacedRecord {
  readonly node: string;
  readonly incarnation: string;
  readonly sequence: number;
  readonly epoch: number;
  readonly placedAtMs: number;
  readonly startedAtMs: number;
  readonly accepted: boolean;
  readonly stopReason: string;
  readonly stopGraceSeconds: number | undefined;
}

const out = new RecordWriter();

export function encodeLiveJob(job: LiveJobRecord): Uint8Array {
  out
    .start(job.array === undefined ? 1 : VERSION)
    .uint(job.number)
    .raw(job.id)
    .raw(job.digest)
    .byte(job.state)
    .uint(job.flags);
  out.text(job.queue).text(job.definition).text(job.user).text(job.submittedBy).uint(job.priority);
  writeRequirements(out, job.requirements);
  writeRetry(out, job.retry);
  out.byte(job.onNodeLost).uint(job.createdAtMs).uint(job.runnableAtMs).uint(job.attempt);
  const { placed, array } = job;
  if (array !== undefined) {
    out.uint(array.size).uint(array.concurrency).uint(array.failFastAfter).uint(array.canary);
    out.byte((array.sequential ? 1 : 0) | (array.closed ? 2 : 0)).text(array.reason);
    return out.optional(array.stopGraceSeconds).finish();
  }
  if (placed === undefined) return out.byte(0).finish();
  out.byte(1).text(placed.node).text(placed.incarnation).uint(placed.sequence).uint(placed.epoch);
  out
    .uint(placed.placedAtMs)
    .uint(placed.startedAtMs)
    .byte(placed.accepted ? 1 : 0);
  return out.text(placed.stopReason).optional(placed.stopGraceSeconds).finish();
}

export function decodeLiveJob(bytes: Uint8Array): LiveJobRecord {
  const input = new RecordReader(bytes);
  const version = input.version(1, VERSION);
  const job = {
    number: input.uint(),
    id: input.raw(16),
    digest: input.raw(16),
    state: input.byte() as JobState,
    flags: input.uint(),
    queue: input.text(),
    definition: input.text(),
    user: input.text(),
    submittedBy: input.text(),
    priority: input.uint(),
    requirements: readRequirements(input),
    retry: readRetry(input),
    onNodeLost: input.byte() as OnNodeLost,
    createdAtMs: input.uint(),
    runnableAtMs: input.uint(),
    attempt: input.uint(),
  };
  if (version === VERSION) return { ...job, placed: undefined, array: readArray(input) };
  return { ...job, placed: input.byte() === 0 ? undefined : readPlaced(input), array: undefined };
}

function readArray(input: RecordReader): LiveArrayRecord {
  const size = input.uint();
  const concurrency = input.uint();
  const failFastAfter = input.uint();
  const canary = input.uint();
  const flags = input.byte();
  return {
    size,
    concurrency,
    failFastAfter,
    canary,
    sequential: (flags & 1) !== 0,
    closed: (flags & 2) !== 0,
    reason: input.text(),
    stopGraceSeconds: input.optional(),
  };
}

function readPlaced(input: RecordReader): PlacedRecord {
  return {
    node: input.text(),
    incarnation: input.text(),
    sequence: input.uint(),
    epoch: input.uint(),
    placedAtMs: input.uint(),
    startedAtMs: input.uint(),
    accepted: input.byte() === 1,
    stopReason: input.text(),
    stopGraceSeconds: input.optional(),
  };
}
