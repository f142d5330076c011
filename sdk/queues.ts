import {
  AdmissionState,
  CreateJobQueueResponseSchema,
  DeleteJobQueueResponseSchema,
  GetJobQueueResponseSchema,
  JobQueueService,
  ListJobQueuesResponseSchema,
  UpdateJobQueueResponseSchema,
} from '@galley/proto';
import { GalleyError } from './errors.ts';
import { pages } from './pages.ts';
import { toPlain } from './plain.ts';
import type { RequestOptions, Transport } from './transport.ts';
import type { JobQueue } from './types.ts';

/** What can be said of a queue; what is absent takes the default (create) or stays as it is (update). */
export interface JobQueueSettings {
  /** Higher first, 0 to 1,000,000. Default: 0. */
  readonly priority?: number;
  /** Whether it takes jobs. Default: true. */
  readonly enabled?: boolean;
  /** Names, in the order in which they are tried. Default: `default`. */
  readonly computeEnvironments?: readonly string[];
}

export function queueMethods(transport: Transport) {
  const service = transport.service(JobQueueService);
  const { account } = transport.options;

  const fields = (settings: JobQueueSettings) => ({
    account,
    ...(settings.priority === undefined ? {} : { priority: settings.priority }),
    ...(settings.enabled === undefined ? {} : { state: admissionState(settings.enabled) }),
    computeEnvironments: [...(settings.computeEnvironments ?? [])],
  });

  function listJobQueues(options?: RequestOptions): AsyncGenerator<JobQueue> {
    return pages(async (page) => {
      const answer = await transport.call('safe', (call) => service.listJobQueues({ account, page }, call), options);
      const { jobQueues, nextPageToken } = toPlain(ListJobQueuesResponseSchema, answer);
      return { items: jobQueues, nextPageToken };
    });
  }

  /** Throws NOT_FOUND. */
  async function getJobQueue(name: string, options?: RequestOptions): Promise<JobQueue> {
    const answer = await transport.call('safe', (call) => service.getJobQueue({ account, name }, call), options);
    return present(name, toPlain(GetJobQueueResponseSchema, answer).jobQueue);
  }

  /** Throws ALREADY_EXISTS. */
  async function createJobQueue(name: string, settings: JobQueueSettings = {}, options?: RequestOptions) {
    const request = { name, ...fields(settings) };
    const answer = await transport.call('once', (call) => service.createJobQueue(request, call), options);
    return present(name, toPlain(CreateJobQueueResponseSchema, answer).jobQueue);
  }

  /** With `ifVersion`: throws ABORTED when somebody else changed the queue since. */
  async function updateJobQueue(
    name: string,
    settings: JobQueueSettings & { readonly ifVersion?: number },
    options?: RequestOptions,
  ): Promise<JobQueue> {
    const request = { name, ...fields(settings), ifVersion: BigInt(settings.ifVersion ?? 0) };
    const answer = await transport.call('safe', (call) => service.updateJobQueue(request, call), options);
    return present(name, toPlain(UpdateJobQueueResponseSchema, answer).jobQueue);
  }

  /** The queue must be disabled. Jobs still in it fail with `JobQueue deleted`; says how many. */
  async function deleteJobQueue(name: string, options?: RequestOptions): Promise<{ endedJobs: number }> {
    const answer = await transport.call('once', (call) => service.deleteJobQueue({ account, name }, call), options);
    return { endedJobs: toPlain(DeleteJobQueueResponseSchema, answer).endedJobs };
  }

  return { listJobQueues, getJobQueue, createJobQueue, updateJobQueue, deleteJobQueue };
}

export function admissionState(enabled: boolean): AdmissionState {
  return enabled ? AdmissionState.ENABLED : AdmissionState.DISABLED;
}

function present(name: string, queue: JobQueue | undefined): JobQueue {
  if (queue === undefined) throw new GalleyError('BAD_ANSWER', `no queue in the answer for ${name}`);
  return queue;
}
