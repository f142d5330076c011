import { create } from '@bufbuild/protobuf';
import {
  type CreateJobQueueRequest,
  type JobQueue,
  JobQueueSchema,
  type JobQueueService,
  type UpdateJobQueueRequest,
} from '@galley/proto';
import { formatJobId } from '../core/ids.ts';
import type { QueueView } from '../core/view.ts';
import type { Handlers } from '../server/handler.ts';
import type { Turns } from '../turn/turns.ts';
import { accountOf } from './accounts.ts';
import { admissionOf, enabledOf, missing } from './admission.ts';
import { accepted, notBuilt } from './errors.ts';
import type { ApiParts } from './parts.ts';
import { toStateCounts } from './state-counts.ts';
import { pageOfNames } from './tokens.ts';
import { validateTags } from './validate.ts';

/** The compute environment of a queue that names none. */
export const DEFAULT_ENVIRONMENT = 'default';

/** Jobs that a snapshot shows. */
const MAX_SNAPSHOT_JOBS = 100;

/** Where jobs wait. */
export function createJobQueueService({ turns }: Pick<ApiParts, 'turns'>): Handlers<typeof JobQueueService> {
  return {
    createJobQueue: async (request) => {
      refuseUnbuilt(request);
      validateTags(request.tags);
      const account = accountOf(request);
      const { name, priority, computeEnvironments, tags } = request;
      accepted(
        await turns.apply({
          kind: 'createQueue',
          account,
          name,
          settings: {
            priority,
            enabled: enabledOf(request.state) ?? true,
            environments: computeEnvironments.length === 0 ? [DEFAULT_ENVIRONMENT] : computeEnvironments,
            tags,
          },
        }),
      );
      return { jobQueue: await readQueue(turns, account, name) };
    },

    updateJobQueue: async (request) => {
      refuseUnbuilt(request);
      const account = accountOf(request);
      const { name, priority, computeEnvironments, ifVersion } = request;
      const enabled = enabledOf(request.state);
      accepted(
        await turns.apply({
          kind: 'updateQueue',
          account,
          name,
          settings: {
            ...(priority === undefined ? {} : { priority }),
            ...(enabled === undefined ? {} : { enabled }),
            ...(computeEnvironments.length === 0 ? {} : { environments: computeEnvironments }),
          },
          ifVersion: Number(ifVersion),
        }),
      );
      return { jobQueue: await readQueue(turns, account, name) };
    },

    deleteJobQueue: async (request) => {
      const input = { kind: 'deleteQueue', account: accountOf(request), name: request.name } as const;
      const { endedJobs } = accepted(await turns.apply(input));
      return { endedJobs: BigInt(endedJobs) };
    },

    getJobQueue: async (request) => ({ jobQueue: await readQueue(turns, accountOf(request), request.name) }),

    listJobQueues: async (request) => {
      const all = await turns.read((view) => view.queues(accountOf(request)));
      const { items, nextPageToken } = pageOfNames('job_queues', request, all, ({ name }) => name);
      return { jobQueues: items.map(toQueue), nextPageToken };
    },

    getJobQueueSnapshot: async (request) => {
      const account = accountOf(request);
      const snapshot = await turns.read((view) => {
        if (view.queue(account, request.name) === undefined) return undefined;
        const numbers = view.dispatchOrder(account, request.name, MAX_SNAPSHOT_JOBS);
        return { atMs: view.wallMs, jobs: numbers.flatMap((number) => view.jobByNumber(number) ?? []) };
      });
      if (snapshot === undefined) throw missing('job queue', request.name);
      return {
        jobs: snapshot.jobs.map(({ id, number }) => ({ jobId: formatJobId(id), number: BigInt(number) })),
        lastUpdatedAtMs: BigInt(snapshot.atMs),
      };
    },
  };
}

function refuseUnbuilt({ schedulingPolicy, limits }: CreateJobQueueRequest | UpdateJobQueueRequest): void {
  if ((schedulingPolicy ?? '') !== '') throw notBuilt('scheduling_policy');
  if (limits !== undefined) throw notBuilt('limits');
}

async function readQueue(turns: Turns, account: string, name: string): Promise<JobQueue> {
  const found = await turns.read((view) => view.queue(account, name));
  if (found === undefined) throw missing('job queue', name);
  return toQueue(found);
}

function toQueue(view: QueueView): JobQueue {
  return create(JobQueueSchema, {
    account: view.account,
    name: view.name,
    priority: view.priority,
    state: admissionOf(view.enabled),
    computeEnvironments: [...view.environments],
    tags: { ...view.tags },
    version: BigInt(view.version),
    createdAtMs: BigInt(view.createdAtMs),
    liveJobs: toStateCounts(view.liveJobs),
  });
}
