import { addArray, connectChildren, openArray } from '../arrays/open.ts';
import { sameBytes } from '../ids.ts';
import { MAX_ARRAYS, MAX_CHILDREN, MAX_LIVE_JOBS } from '../limits.ts';
import { specKey } from '../records/keys.ts';
import { encodeRetryKey } from '../records/parts.ts';
import { type CoreState, put, type Queue, scoped, updateCluster } from '../state.ts';
import { JobFlag, NONE } from '../tables/job-table.ts';
import {
  DependencyType,
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
    const refusal = existing === undefined ? refuse(core, job, jobs, (id) => earlier.get(id.join())) : undefined;
    if (refusal !== undefined) return { ...refusal, field: `jobs[${at}].${refusal.field}` };
    earlier.set(key, job);
  }
  return undefined;
}

function submitOne(core: CoreState, job: NewJob, submittedBy: string): Submitted | Refusal {
  return findExisting(core, job) ?? refuse(core, job, [job], () => undefined) ?? accept(core, job, submittedBy);
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

function refuse(
  core: CoreState,
  job: NewJob,
  batch: readonly NewJob[],
  inBatch: (id: Uint8Array) => NewJob | undefined,
): Refusal | undefined {
  const queue = core.queuesByName.get(scoped(job.account, job.queue));
  if (queue === undefined || queue.deleting) {
    return { ok: false, code: 'notFound', field: 'job_queue', message: `job queue "${job.queue}" does not exist` };
  }
  if (!queue.enabled) {
    const message = `job queue "${job.queue}" is disabled and takes no new jobs`;
    return { ok: false, code: 'failedPrecondition', field: 'job_queue', message };
  }
  if (core.jobs.size + batch.length > MAX_LIVE_JOBS) {
    return exhausted('', `${MAX_LIVE_JOBS} jobs are alive, which is the most; wait for some to end`);
  }
  const noRoom = refuseArrays(core, batch);
  if (noRoom !== undefined) return noRoom;
  for (const [at, dependency] of job.dependsOn.entries()) {
    const refusal = refuseDependency(core, job, dependency, inBatch(dependency.jobId));
    if (refusal !== undefined) return { ...refusal, field: `depends_on[${at}].${refusal.field}` };
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

function refuseArrays(core: CoreState, batch: readonly NewJob[]): Refusal | undefined {
  const arrays = batch.filter(({ array }) => array !== undefined);
  if (arrays.length === 0) return undefined;
  const children = arrays.reduce((sum, { array }) => sum + (array?.size ?? 0), 0);
  if (core.arrays.size + arrays.length > MAX_ARRAYS) {
    return exhausted('array', `${MAX_ARRAYS} arrays are alive, which is the most; wait for some to end`);
  }
  if (core.children + children <= MAX_CHILDREN) return undefined;
  return exhausted(
    'array',
    `arrays have ${MAX_CHILDREN} children together at the most; ${core.children} are there, this asks for ${children} more`,
  );
}

function refuseDependency(
  core: CoreState,
  job: NewJob,
  { jobId, type, ended }: NewDependency,
  earlier: NewJob | undefined,
): Refusal | undefined {
  const row = core.jobs.findById(jobId);
  if (row === NONE && ended === undefined && earlier === undefined) {
    const message = 'no job has this id, or it ended longer ago than jobs are kept';
    return { ok: false, code: 'invalid', field: 'job_id', message };
  }
  if (type !== DependencyType.nToN) return undefined;
  const other = (row === NONE ? undefined : core.arrays.get(row)?.size) ?? ended?.array?.size ?? earlier?.array?.size;
  if (other !== undefined && other === job.array?.size) return undefined;
  const message =
    other === undefined
      ? 'N_TO_N is between array jobs, and the other job is none'
      : `N_TO_N is between arrays of one size; this one has ${job.array?.size ?? 'no'} children, the other ${other}`;
  return { ok: false, code: 'invalid', field: 'type', message };
}

function exhausted(field: string, message: string): Refusal {
  return { ok: false, code: 'exhausted', field, message };
}

function accept(core: CoreState, job: NewJob, submittedBy: string): Submitted {
  const queue = core.queuesByName.get(scoped(job.account, job.queue)) as Queue;
  const number = core.cluster.nextNumber;
  updateCluster(core, { nextNumber: number + 1 });
  const row = addRow(core, { ...job, queue, number, submittedBy, createdAtMs: core.wallMs });
  if (job.array === undefined) count(core, row, JobState.submitted, 1);
  else addArray(core, row, job.array);
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
  for (const dependency of dependsOn) {
    const { jobId, type, ended } = dependency;
    const on = jobs.findById(jobId);
    if (type === DependencyType.nToN) connectChildren(core, row, on, dependency);
    else if (on === NONE || isTerminal(jobs.state(on))) {
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
  if (jobs.has(row, JobFlag.array)) {
    openArray(core, row, dependencyFailed);
    return;
  }
  if (dependencyFailed) failDependent(core, row);
  else if (jobs.get('openDependencies', row) > 0 || jobs.has(row, JobFlag.held)) setState(core, row, JobState.pending);
  else makeRunnable(core, row);
}
