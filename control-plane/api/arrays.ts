import { create } from '@bufbuild/protobuf';
import {
  type ArrayProperties,
  type ArrayStatus,
  ArrayStatusSchema,
  DependencyType,
  type SubmitJobRequest,
} from '@galley/proto';
import type { NewArray } from '../core/types.ts';
import { ArrayIndices, MAX_ARRAY_SIZE } from './array-indices.ts';
import { invalid } from './errors.ts';
import { type FoundJob, isEnded } from './job-lookup.ts';
import { toStateCounts } from './state-counts.ts';

/** How an array job is run; undefined for a plain job. Throws INVALID_ARGUMENT, naming field, constraint and value. */
export function parseArray(request: SubmitJobRequest): NewArray | undefined {
  const { array } = request;
  if (array === undefined) return undefined;
  const size = sizeOf(array);
  const { concurrency, failFastAfter, canary } = array;
  if (canary > size) throw invalid('array.canary', `at most as many as the array has children, ${size}, got ${canary}`);
  const sequential = request.dependsOn.some(({ type }) => type === DependencyType.SEQUENTIAL);
  return { size, concurrency, failFastAfter, canary, sequential };
}

function sizeOf({ size, indices }: ArrayProperties): number {
  if (indices !== '') {
    if (size !== 0) throw invalid('array.size', `not together with array.indices, got ${size}`);
    return new ArrayIndices(indices, 'array.indices').size;
  }
  if (size < 1) throw invalid('array.size', `1 to ${MAX_ARRAY_SIZE}, got ${size}`);
  return size;
}

/** The index that a child was given; undefined where the array only has a size. */
export function givenIndexOf(request: SubmitJobRequest | undefined): ((child: number) => number) | undefined {
  const indices = request?.array?.indices ?? '';
  if (indices === '') return undefined;
  const parsed = new ArrayIndices(indices, 'array.indices');
  return (child) => parsed.at(child);
}

/** What a parent shows of its children. */
export function arrayStatusOf(job: FoundJob): ArrayStatus | undefined {
  if (job.array === undefined) return undefined;
  const { size, changedAtMs } = job.array;
  const counts = isEnded(job)
    ? [0, 0, 0, 0, 0, job.array?.succeeded ?? 0, job.array?.failed.size ?? 0]
    : [...(job.array?.counts ?? [])];
  const statusSummary = toStateCounts(counts);
  return create(ArrayStatusSchema, { size, statusSummary, statusSummaryLastUpdatedAtMs: BigInt(changedAtMs) });
}
