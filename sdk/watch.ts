import { JobService, WatchJobsResponseSchema } from '@galley/proto';
import { GalleyError } from './errors.ts';
import type { jobMethods } from './jobs.ts';
import { toPlain } from './plain.ts';
import type { StreamOptions, Transport } from './transport.ts';
import { isTerminal, type Job, type JobSummary } from './types.ts';

export interface WaitOptions extends StreamOptions {
  /** Milliseconds, then WAIT_TIMED_OUT. Default: as long as it takes. */
  readonly timeoutMs?: number;
  /** Called with the state at first, and with every change. */
  readonly onChange?: (job: JobSummary) => void;
}

export function watchMethods(transport: Transport, jobs: ReturnType<typeof jobMethods>) {
  const service = transport.service(JobService);
  const { account } = transport.options;

  /**
   * The state of each job, then every change, until all are terminal. Survives a restart of the control plane: what was
   * said already is not said again. Throws NOT_FOUND for an id that no job has.
   */
  async function* watchJobs(jobIds: readonly string[], options: StreamOptions = {}): AsyncGenerator<JobSummary> {
    const open = new Set(jobIds);
    const last = new Map<string, string>();
    if (open.size === 0) return;

    async function* once(call: Parameters<typeof service.watchJobs>[1]) {
      yield* service.watchJobs({ account, jobIds: [...open] }, call);
      if (open.size > 0) throw new GalleyError('UNAVAILABLE', 'the stream ended while jobs were not over');
    }

    for await (const answer of transport.resumingStream(once, options)) {
      const { jobs: changed, unknownJobIds } = toPlain(WatchJobsResponseSchema, answer);
      if (unknownJobIds.length > 0) throw new GalleyError('NOT_FOUND', `no job has the id ${unknownJobIds.join(', ')}`);
      for (const job of changed as JobSummary[]) {
        const text = JSON.stringify(job);
        if (last.get(job.jobId) === text) continue;
        last.set(job.jobId, text);
        if (isTerminal(job.state)) {
          open.delete(job.jobId);
          last.delete(job.jobId);
        }
        yield job;
      }
      if (open.size === 0) return;
    }
  }

  /** Waits until the job is over; it may have failed. Throws WAIT_TIMED_OUT, NOT_FOUND. */
  async function waitForJob(reference: string | number, options: WaitOptions = {}): Promise<Job> {
    const { timeoutMs, onChange } = options;
    const deadline = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs);
    const signals = [options.signal, deadline].filter((signal) => signal !== undefined);
    const signal = AbortSignal.any(signals);
    try {
      const { summary } = await jobs.getJob(reference, { signal });
      for await (const job of watchJobs([summary.jobId], { ...options, signal })) onChange?.(job);
      return await jobs.getJob(summary.jobId, { signal });
    } catch (error) {
      if (deadline?.aborted === true && options.signal?.aborted !== true) {
        throw new GalleyError('WAIT_TIMED_OUT', `job ${reference} was not over after ${timeoutMs} ms`, {
          cause: error,
        });
      }
      throw GalleyError.from(error);
    }
  }

  /** Waits until the job runs or is over: from then on it has a log. */
  async function waitForStart(jobId: string, options: StreamOptions = {}): Promise<JobSummary> {
    for await (const job of watchJobs([jobId], options)) {
      if (job.state === 'RUNNING' || isTerminal(job.state)) return job;
    }
    throw new GalleyError('BAD_ANSWER', `the watch of job ${jobId} ended before the job did`);
  }

  return { watchJobs, waitForJob, waitForStart };
}
