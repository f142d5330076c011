import type { JobIdBytes, JobState, OnNodeLost, Requirements, RetryPolicy } from '../types.ts';
import { RecordReader, RecordWriter } from './codec.ts';
import { readRequirements, readRetry, writeRequirements, writeRetry } from './parts.ts';

const VERSION = 1;

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
  out.start(VERSION).uint(job.number).raw(job.id).raw(job.digest).byte(job.state).uint(job.flags);
  out.text(job.queue).text(job.definition).text(job.user).text(job.submittedBy).uint(job.priority);
  writeRequirements(out, job.requirements);
  writeRetry(out, job.retry);
  out.byte(job.onNodeLost).uint(job.createdAtMs).uint(job.runnableAtMs).uint(job.attempt);
  const { placed } = job;
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
  input.version(VERSION);
  return {
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
    placed: input.byte() === 0 ? undefined : readPlaced(input),
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
