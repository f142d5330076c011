import { sameBytes } from '../ids.ts';
import { MAX_LIVE_JOBS } from '../limits.ts';
import { specKey } from '../records/keys.ts';
import { encodeRetryKey } from '../records/parts.ts';
import { type CoreState, put, type Queue, scoped, updateCluster } from '../state.ts';
import { JobFlag, NONE } from '../tables/job-table.ts';
import {
  isTerminal,
  JobState,
  type NewDependency,
  type NewJob,
  type Refusal,
  type SubmitJobs,
  type Submitted,
} from '../types.ts';
import { addDependency, failDependent, isMet } from './dependencies.ts';
import { count, makeRunnable, markDirty, setState } from './transition.ts';

/** Turns that may be applied and not on disk when facts are read there: the one in the store's hands and the open one. */
const UNDURABLE_TURNS = 2;

/** Accepts jobs: each for itself, or all or none. Answers in the order of the request. */
export function submitJobs(core: CoreState, input: SubmitJobs): (Submitted | Refusal)[] {
  if (input.factsTurn <= core.evictedTurn + UNDURABLE_TURNS) return input.jobs.map(() => staleFacts());
  if (input.mode === 'each') return input.jobs.map((job) => submitOne(core, job, input.submittedBy));
  const refusal = refuseAtomic(core, input.jobs);
  if (refusal !== undefined) return input.jobs.map(() => refusal);
  return input.jobs.map((job) => submitOne(core, job, input.submittedBy));
}

/** All or none: every job is looked at before the first one is taken. */
function refuseAtomic(core: CoreState, jobs: readonly NewJob[]): Refusal | undefined {
  const earlier = new Map<string, NewJob>();
  for (const [at, job] of jobs.entries()) {
    const key = job.id.join();
    const twin = earlier.get(key);
    if (twin !== undefined && !sameBytes(twin.digest, job.digest)) {
      return { ...taken(), field: `jobs[${at}].job_id` };
    }
    const existing = findExisting(core, job);
    if (existing !== undefined && !existing.ok) return { ...existing, field: `jobs[${at}].${existing.field}` };
    const refusal = existing === undefined ? refuse(core, job, jobs.length, (id) => earlier.has(id.join())) : undefined;
    if (refusal !== undefined) return { ...refusal, field: `jobs[${at}].${refusal.field}` };
    earlier.set(key, job);
  }
  return undefined;
}

function submitOne(core: CoreState, job: NewJob, submittedBy: string): Submitted | Refusal {
  return findExisting(core, job) ?? refuse(core, job, 1, () => false) ?? accept(core, job, submittedBy);
}

/** The answer that this id got before: the job's id is its idempotency key. */
function findExisting(core: CoreState, job: NewJob): Submitted | Refusal | undefined {
  const row = core.jobs.findById(job.id);
  if (row !== NONE) {
    if (!sameBytes(core.jobs.digest(row), job.digest)) return taken();
    return { ok: true, number: core.jobs.get('number', row), existed: true };
  }
  if (job.ended === undefined) return undefined;
  return sameBytes(job.ended.digest, job.digest) ? { ok: true, number: job.ended.number, existed: true } : taken();
}

function taken(): Refusal {
  return {
    ok: false,
    code: 'alreadyExists',
    field: 'job_id',
    message: 'a job with this id was submitted with another request',
  };
}

function staleFacts(): Refusal {
  return { ok: false, code: 'staleFacts', field: '', message: 'facts from the store are too old' };
}

function refuse(core: CoreState, job: NewJob, room: number, inBatch: (id: Uint8Array) => boolean): Refusal | undefined {
  const queue = core.queuesByName.get(scoped(job.account, job.queue));
  if (queue === undefined || queue.deleting) {
    return { ok: false, code: 'notFound', field: 'job_queue', message: `job queue "${job.queue}" does not exist` };
  }
  if (!queue.enabled) {
    const message = `job queue "${job.queue}" is disabled and takes no new jobs`;
    return { ok: false, code: 'failedPrecondition', field: 'job_queue', message };
  }
  if (core.jobs.size + room > MAX_LIVE_JOBS) {
    return exhausted('', `${MAX_LIVE_JOBS} jobs are alive, which is the most; wait for some to end`);
  }
  for (const [at, dependency] of job.dependsOn.entries()) {
    if (core.jobs.findById(dependency.jobId) !== NONE || dependency.ended !== undefined) continue;
    if (inBatch(dependency.jobId)) continue;
    const message = 'no job has this id, or it ended longer ago than jobs are kept';
    return { ok: false, code: 'invalid', field: `depends_on[${at}].job_id`, message };
  }
  if (!core.classes.hasRoomFor(job.requirements)) {
    return exhausted('task.resources', 'too many distinct sets of requirements are alive at once');
  }
  if (!core.retries.hasRoomFor(encodeRetryKey(job.retry))) {
    return exhausted('retry_strategy', `${core.retries.limit} distinct retry strategies are alive, which is the most`);
  }
  if (!core.users.hasRoomFor(job.user)) {
    return exhausted('task.run_as.user', `jobs of ${core.users.limit} users are alive, which is the most`);
  }
  if (!core.definitionPins.hasRoomFor(job.definition)) {
    return exhausted('job_definition', `jobs of ${core.definitionPins.limit} definitions are alive, which is the most`);
  }
  return undefined;
}

function exhausted(field: string, message: string): Refusal {
  return { ok: false, code: 'exhausted', field, message };
}

function accept(core: CoreState, job: NewJob, submittedBy: string): Submitted {
  const queue = core.queuesByName.get(scoped(job.account, job.queue)) as Queue;
  const number = core.cluster.nextNumber;
  updateCluster(core, { nextNumber: number + 1 });
  const row = addRow(core, { ...job, queue, number, submittedBy, createdAtMs: core.wallMs });
  count(core, row, JobState.submitted, 1);
  put(core, specKey(job.account, number), job.spec);
  markDirty(core, row);
  core.jobs.setFlag(row, JobFlag.held, job.hold);
  settle(core, row, connect(core, row, job.dependsOn));
  return { ok: true, number, existed: false };
}

/** What a row needs to live, from a submission or from the store. */
export interface RowFacts extends Pick<NewJob, 'id' | 'digest' | 'priority' | 'requirements' | 'retry' | 'onNodeLost'> {
  readonly queue: Queue;
  readonly number: number;
  readonly definition: string;
  readonly user: string;
  readonly submittedBy: string;
  readonly createdAtMs: number;
}

/** Makes the row of a job, in state SUBMITTED and not counted yet. */
export function addRow(core: CoreState, job: RowFacts): number {
  const { jobs } = core;
  const row = jobs.allocate(job.id, job.digest, job.number);
  jobs.setState(row, JobState.submitted);
  jobs.setOnNodeLost(row, job.onNodeLost);
  jobs.set('createdAt', row, job.createdAtMs);
  jobs.set('queue', row, job.queue.index);
  jobs.set('class', row, core.classes.acquire(job.queue.index, job.priority, job.requirements));
  jobs.set(
    'definition',
    row,
    core.definitionPins.acquire(job.definition, () => job.definition),
  );
  jobs.set(
    'user',
    row,
    core.users.acquire(job.user, () => job.user),
  );
  jobs.set(
    'submitter',
    row,
    core.submitters.acquire(job.submittedBy, () => job.submittedBy),
  );
  jobs.set(
    'retry',
    row,
    core.retries.acquire(encodeRetryKey(job.retry), () => job.retry),
  );
  return row;
}

/** Links a job to those that it waits for; true when one of them can never meet it. */
export function connect(core: CoreState, row: number, dependsOn: readonly NewDependency[]): boolean {
  const { jobs } = core;
  if (dependsOn.length > 0) jobs.setFlag(row, JobFlag.dependent, true);
  let failed = false;
  for (const { jobId, type, ended } of dependsOn) {
    const on = jobs.findById(jobId);
    if (on === NONE || isTerminal(jobs.state(on))) {
      const state = on === NONE ? ended?.state : jobs.state(on);
      failed ||= state === undefined || !isMet(type, state);
    } else if (!failed) {
      addDependency(core, row, on, type);
    }
  }
  return failed;
}

/** Lets a new job wait, run or fail, as its dependencies say. */
export function settle(core: CoreState, row: number, dependencyFailed: boolean): void {
  const { jobs } = core;
  if (dependencyFailed) failDependent(core, row);
  else if (jobs.get('openDependencies', row) > 0 || jobs.has(row, JobFlag.held)) setState(core, row, JobState.pending);
  else makeRunnable(core, row);
}
