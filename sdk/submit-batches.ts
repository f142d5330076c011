import { toBinary } from '@bufbuild/protobuf';
import { type SubmitJobRequest, SubmitJobRequestSchema } from '@galley/proto';
import { GalleyError } from './errors.ts';

/** Jobs in one call, and the bytes of their encodings. */
export interface BatchLimits {
  readonly jobs: number;
  readonly bytes: number;
}

// The contract's limits.
export const EACH_LIMITS: BatchLimits = { jobs: 5_000, bytes: 4 * 1024 * 1024 };
export const ATOMIC_LIMITS: BatchLimits = { jobs: 1_000, bytes: 512 * 1024 };

/** The contract's limit of one job, in bytes of its encoding. */
const MAX_JOB_BYTES = 256 * 1024;

/** Tag and length of one item of a repeated field, at most. */
const ITEM_FRAMING_BYTES = 6;
/** Tag, and a number or a length, at most. */
const VALUE_BYTES = 12;
/** Of something that is zero or empty, which is mostly not sent at all. */
const EMPTY_BYTES = 3;

/** Splits jobs, in order, into calls that the server takes. */
export function splitIntoBatches(jobs: readonly SubmitJobRequest[], limits: BatchLimits): SubmitJobRequest[][] {
  const batches: SubmitJobRequest[][] = [];
  let batch: SubmitJobRequest[] = [];
  let bytes = 0;
  for (const job of jobs) {
    const size = mostBytes(job) + ITEM_FRAMING_BYTES;
    if (batch.length > 0 && (batch.length === limits.jobs || bytes + size > limits.bytes)) {
      batches.push(batch);
      batch = [];
      bytes = 0;
    }
    batch.push(job);
    bytes += size;
  }
  if (batch.length > 0) batches.push(batch);
  return batches;
}

/** Throws INVALID_ARGUMENT when the jobs do not fit into one atomic call. */
export function requireOneBatch(jobs: readonly SubmitJobRequest[]): void {
  const fits = splitIntoBatches(jobs, ATOMIC_LIMITS).length <= 1;
  if (fits || (jobs.length <= ATOMIC_LIMITS.jobs && encodedBytes(jobs) <= ATOMIC_LIMITS.bytes)) return;
  throw new GalleyError(
    'INVALID_ARGUMENT',
    `an atomic submit takes at most ${ATOMIC_LIMITS.jobs} jobs and ${ATOMIC_LIMITS.bytes} bytes, got ${jobs.length} jobs`,
  );
}

/**
 * What the server would say of a job for which no call has room; undefined for any other, which the server judges. What
 * `mostBytes` finds to be more than a call takes is more than a job may have, as it never says more than six times too much.
 */
export function tooLargeToSend(job: SubmitJobRequest): GalleyError | undefined {
  if (mostBytes(job) <= EACH_LIMITS.bytes) return undefined;
  const bytes = toBinary(SubmitJobRequestSchema, job).byteLength;
  const task = job.task === undefined ? 0 : job.task.command.reduce((sum, word) => sum + Buffer.byteLength(word), 0);
  const field = task > bytes / 2 ? 'task.command' : 'job';
  const description = `a job has at most ${MAX_JOB_BYTES} bytes, got ${bytes}`;
  return new GalleyError('INVALID_ARGUMENT', `${field}: ${description}`, { violations: [{ field, description }] });
}

function encodedBytes(jobs: readonly SubmitJobRequest[]): number {
  return jobs.reduce((sum, job) => sum + toBinary(SubmitJobRequestSchema, job).byteLength + ITEM_FRAMING_BYTES, 0);
}

/**
 * What the encoding of a message takes at most: its texts, and what any other value can take. Adding this up costs a
 * tenth of encoding the message a second time only to know its length.
 */
function mostBytes(message: object): number {
  const isMap = !('$typeName' in message);
  let bytes = 0;
  for (const name in message) {
    // The name of a message's type is not sent.
    if (name === '$typeName') continue;
    if (isMap) bytes += VALUE_BYTES + mostBytesOf(name);
    bytes += mostBytesOf(message[name as keyof typeof message]);
  }
  return bytes;
}

function mostBytesOf(value: unknown): number {
  switch (typeof value) {
    case 'string':
      return value === '' ? EMPTY_BYTES : VALUE_BYTES + Buffer.byteLength(value);
    case 'number':
    case 'bigint':
    case 'boolean':
      return value ? VALUE_BYTES : EMPTY_BYTES;
    case 'object':
      if (value === null) return 0;
      if (!Array.isArray(value)) return VALUE_BYTES + mostBytes(value);
      return value.reduce<number>((sum, item) => sum + mostBytesOf(item), 0);
    default:
      return 0;
  }
}
