import type { GalleyClient, JobRequest } from '@galley/sdk';

/** Jobs of one call: below 4 MiB with specifications of 1 KiB. */
const JOBS_PER_CALL = 2_000;
/** Calls under way at once: the client makes the next ones while the control plane has the others. */
const CALLS = 4;

/** Submits so many jobs, all of which must be accepted; resolves with jobs per second. */
export async function submitBatches(client: GalleyClient, jobs: number, make: () => JobRequest): Promise<number> {
  const from = performance.now();
  let left = jobs;
  const caller = async () => {
    while (left > 0) {
      const count = Math.min(left, JOBS_PER_CALL);
      left -= count;
      for (const result of await client.submitJobs(Array.from({ length: count }, make))) {
        if (!result.ok) throw result.error;
      }
    }
  };
  await Promise.all(Array.from({ length: CALLS }, caller));
  return (jobs / (performance.now() - from)) * 1000;
}
