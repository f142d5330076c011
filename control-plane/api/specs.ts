import { fromBinary } from '@bufbuild/protobuf';
import { type SubmitJobRequest, SubmitJobRequestSchema } from '@galley/proto';
import { specKey } from '../core/records/index.ts';
import type { Store } from '../store/store.ts';

/** The requests that made these jobs, in the order asked; undefined where the job has been expired. */
export async function readSpecs(
  store: Store,
  jobs: readonly { readonly account: string; readonly number: number }[],
): Promise<(SubmitJobRequest | undefined)[]> {
  if (jobs.length === 0) return [];
  const records = await store.getMany(jobs.map(({ account, number }) => specKey(account, number)));
  return records.map((bytes) => (bytes === undefined ? undefined : fromBinary(SubmitJobRequestSchema, bytes)));
}
