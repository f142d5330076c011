import { randomUUID } from 'node:crypto';
import {
  CancelJobsResponseSchema,
  CancelMode,
  DescribeJobsResponseSchema,
  EndCause,
  GetJobResponseSchema,
  JobService,
  JobState,
  ListJobsResponseSchema,
  RerunJobsResponseSchema,
  SubmitJobResponseSchema,
  SubmitMode,
} from '@galley/proto';
import { GalleyError } from './errors.ts';
import { pages } from './pages.ts';
import { toPlain } from './plain.ts';
import { EACH_LIMITS, requireOneBatch, splitIntoBatches, tooLargeToSend } from './submit-batches.ts';
import {
  type JobRequest,
  type ResourceRequest,
  type SubmitResult,
  toResources,
  toSubmitRequest,
} from './submit-request.ts';
import type { RequestOptions, Transport } from './transport.ts';
import type { CancelledJob, EndCauseName, Job, JobStateName, JobSummary, SubmittedJob } from './types.ts';

/** Which jobs a list holds. Newest first; no states: every state. */
export interface JobFilter {
  readonly jobQueue?: string;
  readonly states?: readonly JobStateName[];
  readonly user?: string;
  /** Exact, or a prefix with a trailing `*`. */
  readonly jobName?: string;
  readonly jobDefinition?: string;
  readonly createdAfterMs?: number;
  readonly createdBeforeMs?: number;
  /** Items fetched at a time, at most 1,000, for those who will not read far. */
  readonly pageSize?: number;
}

export interface CancelOptions extends RequestOptions {
  /** Becomes the job's status reason. Default: `Cancelled`. */
  readonly reason?: string;
  /** Leave alone what has begun to start (AWS's CancelJob). Default: false. */
  readonly pendingOnly?: boolean;
  /** Seconds between SIGTERM and SIGKILL, instead of the job's own. */
  readonly graceSeconds?: number;
}

export interface RerunOptions extends RequestOptions {
  /** Which of those that are over. Default: all that failed. */
  readonly causes?: readonly EndCauseName[];
  /** What the new jobs get instead of what these had. */
  readonly resources?: ResourceRequest;
  /** A UUID that names this call: repeated with it, the call makes no second job. Default: a new one. */
  readonly rerunId?: string;
}

/** Ids in one call that the server takes. */
const IDS_PER_CALL = 1_000;

export function jobMethods(transport: Transport) {
  const service = transport.service(JobService);
  const { account } = transport.options;

  /** Submits one job; durable when it returns. A repeated call with the same `jobId` is harmless. */
  async function submitJob(job: JobRequest, options?: RequestOptions): Promise<SubmittedJob> {
    const request = toSubmitRequest(job, account);
    const refused = tooLargeToSend(request);
    if (refused !== undefined) throw refused;
    const answer = await transport.call('safe', (call) => service.submitJob(request, call), options);
    return toPlain(SubmitJobResponseSchema, answer);
  }

  /**
   * Submits many jobs. `each` (default): as many as there are, in calls of at most 5,000 jobs and 4 MiB, one result per
   * job in order. `atomic`: all or none, at most 1,000 jobs and 512 KiB; throws when refused.
   */
  async function submitJobs(
    jobs: readonly JobRequest[],
    options: RequestOptions & { readonly mode?: 'each' | 'atomic' } = {},
  ): Promise<SubmitResult[]> {
    const requests = jobs.map((job) => toSubmitRequest(job, account));
    const atomic = options.mode === 'atomic';
    if (atomic) requireOneBatch(requests);
    const mode = atomic ? SubmitMode.ATOMIC : SubmitMode.EACH;
    const results: SubmitResult[] = [];
    for (const batch of splitIntoBatches(requests, EACH_LIMITS)) {
      const [first] = batch;
      const refused = first === undefined ? undefined : tooLargeToSend(first);
      if (first !== undefined && refused !== undefined) {
        results.push({ ok: false, jobId: first.jobId, error: refused });
        continue;
      }
      const answer = await transport.call('safe', (call) => service.submitJobs({ mode, jobs: batch }, call), options);
      if (answer.results.length !== batch.length) {
        throw new GalleyError('BAD_ANSWER', `${answer.results.length} results for ${batch.length} jobs`);
      }
      answer.results.forEach(({ result }, index) => {
        const jobId = batch[index]?.jobId ?? '';
        if (result.case === 'job') results.push({ ok: true, job: toPlain(SubmitJobResponseSchema, result.value) });
        else if (result.case === 'error')
          results.push({ ok: false, jobId, error: GalleyError.fromStatus(result.value) });
        else throw new GalleyError('BAD_ANSWER', `a result of an unknown kind for job ${jobId}`);
      });
    }
    return results;
  }

  /** One job by number, UUID or unique prefix. Throws NOT_FOUND. */
  async function getJob(reference: string | number, options?: RequestOptions): Promise<Job> {
    const request = { account, job: String(reference) };
    const { job } = toPlain(
      GetJobResponseSchema,
      await transport.call('safe', (call) => service.getJob(request, call), options),
    );
    if (job === undefined) throw new GalleyError('BAD_ANSWER', `no job in the answer for ${reference}`);
    return job as Job;
  }

  /** Jobs by id; unknown ids are missing from the result. */
  async function describeJobs(jobIds: readonly string[], options?: RequestOptions): Promise<Job[]> {
    const jobs: Job[] = [];
    for (const ids of slices(jobIds)) {
      const answer = await transport.call(
        'safe',
        (call) => service.describeJobs({ account, jobIds: ids }, call),
        options,
      );
      jobs.push(...(toPlain(DescribeJobsResponseSchema, answer).jobs as Job[]));
    }
    return jobs;
  }

  /** Newest first. */
  function listJobs(filter: JobFilter = {}, options?: RequestOptions): AsyncGenerator<JobSummary> {
    const { states = [], createdAfterMs = 0, createdBeforeMs = 0 } = filter;
    return pages(async (page) => {
      const request = {
        account,
        page,
        jobQueue: filter.jobQueue ?? '',
        states: states.map((state) => JobState[state]),
        user: filter.user ?? '',
        jobName: filter.jobName ?? '',
        jobDefinition: filter.jobDefinition ?? '',
        createdAfterMs: BigInt(createdAfterMs),
        createdBeforeMs: BigInt(createdBeforeMs),
      };
      const answer = await transport.call('safe', (call) => service.listJobs(request, call), options);
      const { jobs, nextPageToken } = toPlain(ListJobsResponseSchema, answer);
      return { items: jobs as JobSummary[], nextPageToken };
    }, filter.pageSize);
  }

  /** The children of an array by index; no states: every state. `reference`: its number, UUID or unique prefix. */
  function listChildren(
    reference: string | number,
    filter: Pick<JobFilter, 'states' | 'pageSize'> = {},
    options?: RequestOptions,
  ): AsyncGenerator<JobSummary> {
    const states = (filter.states ?? []).map((state) => JobState[state]);
    return pages(async (page) => {
      const request = { account, page, states, arrayJobId: String(reference) };
      const answer = await transport.call('safe', (call) => service.listJobs(request, call), options);
      const { jobs, nextPageToken } = toPlain(ListJobsResponseSchema, answer);
      return { items: jobs as JobSummary[], nextPageToken };
    }, filter.pageSize);
  }

  /**
   * Runs jobs again that are over, each as a new job; of an array the children that failed, as an array with their
   * indices. What has nothing to run again is missing from the result. Throws FAILED_PRECONDITION for what is not over.
   */
  async function rerunJobs(jobIds: readonly string[], options: RerunOptions = {}): Promise<SubmittedJob[]> {
    const { causes = [], resources, rerunId = randomUUID() } = options;
    const request = {
      account,
      jobIds: [...jobIds],
      causes: causes.map((cause) => EndCause[cause]),
      rerunId,
      ...(resources === undefined ? {} : { resources: toResources(resources) }),
    };
    const answer = await transport.call('safe', (call) => service.rerunJobs(request, call), options);
    return toPlain(RerunJobsResponseSchema, answer).jobs;
  }

  /** Ends jobs in whatever state they are. Results in the order of the ids. */
  async function cancelJobs(jobIds: readonly string[], options: CancelOptions = {}): Promise<CancelledJob[]> {
    const { reason = 'Cancelled', pendingOnly = false, graceSeconds } = options;
    const mode = pendingOnly ? CancelMode.PENDING_ONLY : CancelMode.TERMINATE;
    const results: CancelledJob[] = [];
    for (const ids of slices(jobIds)) {
      const request = { account, jobIds: ids, reason, mode, ...(graceSeconds === undefined ? {} : { graceSeconds }) };
      const answer = await transport.call('safe', (call) => service.cancelJobs(request, call), options);
      results.push(...(toPlain(CancelJobsResponseSchema, answer).results as CancelledJob[]));
    }
    return results;
  }

  return { submitJob, submitJobs, getJob, describeJobs, listJobs, listChildren, cancelJobs, rerunJobs };
}

function* slices(ids: readonly string[]): Generator<string[]> {
  for (let from = 0; from < ids.length; from += IDS_PER_CALL) yield ids.slice(from, from + IDS_PER_CALL);
}
