import type { GalleyClient } from '../client.ts';
import type { JobRequest } from '../submit-request.ts';
import type { SubmittedJob } from '../types.ts';
import { formatResourcesGiven } from './format.ts';
import type { Session } from './host.ts';
import { type JobOptions, toJobRequest } from './job-options.ts';
import { findJobIds } from './job-reference.ts';
import { writeLastJob } from './last-job.ts';
import { startProgress } from './progress.ts';

/** Submits what the command line says and remembers it as `@last`. */
export async function submitFromOptions(
  session: Session,
  client: GalleyClient,
  options: JobOptions,
  command: readonly string[],
): Promise<{ readonly job: SubmittedJob; readonly request: JobRequest }> {
  const whole = options.dependsOn === undefined ? [] : await findJobIds(session, options.dependsOn);
  const each = options.dependsOnEach === undefined ? [] : await findJobIds(session, options.dependsOnEach);
  const dependsOn = [...whole, ...each.map((jobId) => ({ jobId, type: 'N_TO_N' as const }))];
  const request = toJobRequest(options, command, dependsOn);
  const progress = startProgress(session.stderr, 'submitting ...');
  try {
    const job = await client.submitJob(request);
    writeLastJob(session.env, client, job.jobId);
    return { job, request };
  } finally {
    progress.stop();
  }
}

/** `Job 12 (make) in queue default: 1 vCPU, 512 MiB (default)`. */
export function describeSubmitted(job: SubmittedJob, request: JobRequest): string {
  const asked = request.jobDefinition === undefined ? request.resources : { vcpus: true, memoryBytes: true };
  const given = formatResourcesGiven(job.resources, asked);
  return `Job ${job.number} (${job.jobName}) in queue ${job.jobQueue}${given === '' ? '' : `: ${given}`}`;
}
