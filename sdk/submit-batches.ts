import { toBinary } from '@bufbuild/protobuf';
import { type SubmitJobRequest, SubmitJobRequestSchema } from '@galley/proto';
import { GalleyError } from './errors.ts';

/** Jobs in one call, and the bytes of their encodings. */
export interface BatchLimits {
  readonly jobs: number;
  readonly bytes: number;
}

// The contract's limits, less what the framing of a repeated field adds to each job.
export const EACH_LIMITS: BatchLimits = { jobs: 5_000, bytes: 4 * 1024 * 1024 };
export const ATOMIC_LIMITS: BatchLimits = { jobs: 1_000, bytes: 512 * 1024 };

/** Tag and length of one item of a repeated field, at most. */
const ITEM_FRAMING_BYTES = 6;

/** Splits jobs, in order, into calls that the server takes. */
export function splitIntoBatches(jobs: readonly SubmitJobRequest[], limits: BatchLimits): SubmitJobRequest[][] {
  const batches: SubmitJobRequest[][] = [];
  let batch: SubmitJobRequest[] = [];
  let bytes = 0;
  for (const job of jobs) {
    const size = toBinary(SubmitJobRequestSchema, job).byteLength + ITEM_FRAMING_BYTES;
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
  if (splitIntoBatches(jobs, ATOMIC_LIMITS).length <= 1) return;
  throw new GalleyError(
    'INVALID_ARGUMENT',
    `an atomic submit takes at most ${ATOMIC_LIMITS.jobs} jobs and ${ATOMIC_LIMITS.bytes} bytes, got ${jobs.length} jobs`,
  );
}
