import { create } from '@bufbuild/protobuf';
import { type Attempt, type Job, JobSchema, type SubmitJobRequest } from '@galley/proto';
import { parseJobId } from '../core/ids.ts';
import { attemptKey, decodeAttempt } from '../core/records/index.ts';
import type { CoreView } from '../core/view.ts';
import type { Turns } from '../turn/turns.ts';
import { givenIndexOf } from './arrays.ts';
import type { DefinitionCache } from './definitions.ts';
import { invalid } from './errors.ts';
import { type FoundJob, isEnded } from './job-lookup.ts';
import { currentAttempt, toAttempt, toSummary } from './job-messages.ts';
import { resolveTask, resolveTimeout } from './resolve.ts';
import { decodeSpec, readSpecBytes } from './specs.ts';

/** Requests of one answer, in bytes. An answer shows each of them twice, and a message has at most 8 MiB. */
const MAX_DESCRIBED_BYTES = 3 * 1024 * 1024;
/** Open dependencies that a job shows. */
const MAX_WAITING_FOR = 100;

/** Everything that is known of jobs, in the order given. */
export async function describeJobs(
  turns: Turns,
  definitions: DefinitionCache,
  jobs: readonly FoundJob[],
): Promise<Job[]> {
  const { store } = turns;
  const earlier = jobs.flatMap((job) => earlierAttempts(job).map((attempt) => ({ job, attempt })));
  const [specs, records] = await Promise.all([
    readSpecBytes(store, jobs),
    store.getMany(earlier.map(({ job, attempt }) => attemptKey(job.account, job.number, attempt, job.child))),
  ]);
  const bytes = specs.reduce((sum, spec) => sum + (spec?.length ?? 0), 0);
  if (bytes > MAX_DESCRIBED_BYTES) {
    throw invalid(
      'job_ids',
      `these jobs have ${bytes} bytes, and one call shows ${MAX_DESCRIBED_BYTES}; ask for fewer`,
    );
  }
  const requests = specs.map((spec) => (spec === undefined ? undefined : decodeSpec(spec)));
  const attempts = new Map<FoundJob, Attempt[]>(jobs.map((job) => [job, []]));
  for (const [at, { job }] of earlier.entries()) {
    const record = records[at];
    if (record !== undefined) attempts.get(job)?.push(toAttempt(decodeAttempt(record)));
  }
  return turns.read((view) =>
    jobs.map((job, at) => toJob(view, definitions, job, requests[at], attempts.get(job) ?? [])),
  );
}

/** Attempts that have a record of their own: all before the last, and the last of a job that waited to be tried again. */
function earlierAttempts(job: FoundJob): number[] {
  const begun = isEnded(job) ? job.attempts : job.attempt;
  const lastElsewhere = isEnded(job) ? job.lastAttempt !== undefined : job.node !== '';
  const count = lastElsewhere ? begun - 1 : begun;
  return Array.from({ length: Math.max(0, count) }, (_, index) => index + 1);
}

function toJob(
  view: CoreView,
  definitions: DefinitionCache,
  job: FoundJob,
  request: SubmitJobRequest | undefined,
  earlier: Attempt[],
): Job {
  const last = isEnded(job) ? job.lastAttempt && toAttempt(job.lastAttempt) : currentAttempt(job);
  const message = create(JobSchema, {
    summary: toSummary(job, request?.jobName ?? '', job.child < 0 ? undefined : givenIndexOf(request)?.(job.child)),
    attempts:
      last === undefined || earlier.some(({ attempt }) => attempt === last.attempt) ? earlier : [...earlier, last],
    submittedBy: job.submittedBy,
  });
  if (!isEnded(job)) {
    message.pendingReason = view
      .blockers(job.id)
      .map((blocker) => blocker.message)
      .join('; ');
  }
  if (request === undefined) return message;
  message.request = request;
  if (!isEnded(job) && job.waitingFor > 0) message.waitingFor = openDependencies(view, request);
  const definition = definitions.pinned(view, job.account, job.definition)?.message;
  if (definition === undefined) return message;
  message.task = resolveTask(request, definition, job.user);
  if (message.summary !== undefined && message.task.resources !== undefined) {
    message.summary.resources = message.task.resources;
  }
  const retry = request.retryStrategy ?? definition.retryStrategy;
  const timeout = resolveTimeout(request, definition);
  if (retry !== undefined) message.retryStrategy = retry;
  if (timeout !== undefined) message.timeout = timeout;
  return message;
}

function openDependencies(view: CoreView, request: SubmitJobRequest): string[] {
  const open: string[] = [];
  for (const { jobId } of request.dependsOn) {
    const id = parseJobId(jobId);
    if (id !== undefined && view.job(id) !== undefined) open.push(jobId);
    if (open.length === MAX_WAITING_FOR) break;
  }
  return open;
}
