import type { AttemptId, Placement } from '@galley/proto';
import { uuidText } from '../journal/attempt-key.ts';

/** Names that a job cannot set for itself. */
const RESERVED = /^(AWS_BATCH|GALLEY_)/;

/** As AWS Batch names a job: the UUID, with `:index` for a child of an array. */
export function jobIdText(id: AttemptId): string {
  const uuid = uuidText(id.jobId);
  return id.childIndex < 0 ? uuid : `${uuid}:${id.childIndex}`;
}

/**
 * The whole environment of a job, beside what its account gives (HOME, USER, LOGNAME, SHELL, PATH=/usr/local/bin:/usr/bin:/bin;
 * the umask is 022): nothing is inherited from the agent.
 *
 * As AWS Batch: `AWS_BATCH_JOB_ID` (with `:index` for a child), `AWS_BATCH_JOB_ATTEMPT` (from 1, a fencing token),
 * `AWS_BATCH_JOB_ARRAY_INDEX` (children only), `AWS_BATCH_CE_NAME`, `AWS_BATCH_JQ_NAME`, `AWS_EXECUTION_ENV=AWS_ECS_EC2`.
 *
 * Galley's own: `GALLEY_JOB_ID` (as above), `GALLEY_JOB_NUMBER`, `GALLEY_JOB_NAME`, `GALLEY_JOB_DEFINITION`, `GALLEY_ATTEMPT`,
 * `GALLEY_ARRAY_INDEX` (children only, as it was given), `GALLEY_QUEUE`, `GALLEY_COMPUTE_ENVIRONMENT`, `GALLEY_NODE`, `GALLEY_ACCOUNT`,
 * `GALLEY_SUBMITTED_BY`, `GALLEY_CPUS` (a decimal fraction, 0.25), `GALLEY_MEMORY_BYTES`.
 *
 * The job's own variables come below these; those with an empty value are dropped, as AWS does.
 */
export function jobEnvironment(
  placement: Placement,
  id: AttemptId,
  node: string,
  limits: { readonly milliVcpu: number; readonly memoryBytes: number },
): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const [name, value] of Object.entries(placement.task?.environment ?? {})) {
    if (value !== '' && !RESERVED.test(name)) environment[name] = value;
  }
  const jobId = jobIdText(id);
  const index = id.childIndex < 0 ? undefined : `${id.childIndex}`;
  const given = `${placement.givenIndex ?? id.childIndex}`;
  return {
    ...environment,
    AWS_BATCH_JOB_ID: jobId,
    AWS_BATCH_JOB_ATTEMPT: `${id.attempt}`,
    AWS_BATCH_CE_NAME: placement.computeEnvironment,
    AWS_BATCH_JQ_NAME: placement.jobQueue,
    AWS_EXECUTION_ENV: 'AWS_ECS_EC2',
    ...(index === undefined ? {} : { AWS_BATCH_JOB_ARRAY_INDEX: index, GALLEY_ARRAY_INDEX: given }),
    GALLEY_JOB_ID: jobId,
    GALLEY_JOB_NUMBER: `${placement.jobNumber}`,
    GALLEY_JOB_NAME: placement.jobName,
    GALLEY_JOB_DEFINITION: placement.jobDefinition,
    GALLEY_ATTEMPT: `${id.attempt}`,
    GALLEY_QUEUE: placement.jobQueue,
    GALLEY_COMPUTE_ENVIRONMENT: placement.computeEnvironment,
    GALLEY_NODE: node,
    GALLEY_ACCOUNT: placement.account === '' ? 'default' : placement.account,
    GALLEY_SUBMITTED_BY: placement.user,
    GALLEY_CPUS: `${limits.milliVcpu / 1000}`,
    GALLEY_MEMORY_BYTES: `${limits.memoryBytes}`,
  };
}
