import { afterChildren, arrayOf, closeArray } from '../arrays/children.ts';
import { QUEUE_DELETED } from '../jobs/texts.ts';
import { endJob } from '../jobs/transition.ts';
import { MAX_QUEUES } from '../limits.ts';
import { encodeRecord, type QueueRecord } from '../records/config.ts';
import { queueKey } from '../records/keys.ts';
import { ClassHeap } from '../scheduler/class-heap.ts';
import { servedBefore, unpark } from '../scheduler/queueing.ts';
import { type CoreState, type Environment, put, type Queue, remove, scoped } from '../state.ts';
import { JobFlag, NONE } from '../tables/job-table.ts';
import {
  type CreateQueue,
  type DeleteQueue,
  type Done,
  EndCause,
  isTerminal,
  JobState,
  type QueueSettings,
  type Refusal,
  type Replies,
  type UpdateQueue,
} from '../types.ts';

const DONE: Done = { ok: true };

export function createQueue(core: CoreState, { account, name, settings }: CreateQueue): Done | Refusal {
  if (core.queuesByName.has(scoped(account, name))) {
    return { ok: false, code: 'alreadyExists', field: 'name', message: `job queue "${name}" already exists` };
  }
  if (core.queuesByName.size >= MAX_QUEUES) {
    return {
      ok: false,
      code: 'exhausted',
      field: 'name',
      message: `there are ${MAX_QUEUES} job queues, which is the most`,
    };
  }
  const environments = resolve(core, account, settings.environments);
  if (!Array.isArray(environments)) return environments;
  const queue = addQueue(core, { account, name, ...settings, version: 1, createdAtMs: core.wallMs, deleting: false });
  writeQueue(core, queue);
  return DONE;
}

export function updateQueue(core: CoreState, { account, name, settings, ifVersion }: UpdateQueue): Done | Refusal {
  const queue = core.queuesByName.get(scoped(account, name));
  if (queue === undefined || queue.deleting) return unknownQueue(name);
  if (ifVersion !== 0 && ifVersion !== queue.version) {
    const message = `job queue "${name}" has version ${queue.version}, not ${ifVersion}`;
    return { ok: false, code: 'aborted', field: 'if_version', message };
  }
  const environments = resolve(core, account, settings.environments ?? queue.environmentNames);
  if (!Array.isArray(environments)) return environments;
  queue.priority = settings.priority ?? queue.priority;
  queue.enabled = settings.enabled ?? queue.enabled;
  queue.tags = settings.tags ?? queue.tags;
  queue.environments = environments;
  queue.environmentNames = environments.map((environment) => environment.name);
  queue.version += 1;
  orderQueues(core);
  unpark(core, queue, queue.environments);
  writeQueue(core, queue);
  return DONE;
}

/** What waits in the queue ends over the next turns; the queue is gone with its last job. */
export function deleteQueue(core: CoreState, { account, name }: DeleteQueue): Replies['deleteQueue'] {
  const queue = core.queuesByName.get(scoped(account, name));
  if (queue === undefined || queue.deleting) return unknownQueue(name);
  if (queue.enabled) {
    const message = `job queue "${name}" is enabled; disable it before deleting it`;
    return { ok: false, code: 'failedPrecondition', field: 'name', message };
  }
  queue.deleting = true;
  queue.deletionRow = 0;
  writeQueue(core, queue);
  const waiting = [JobState.submitted, JobState.pending, JobState.runnable];
  return { ok: true, endedJobs: waiting.reduce((sum, state) => sum + (queue.counts[state] ?? 0), 0) };
}

function unknownQueue(name: string): Refusal {
  return { ok: false, code: 'notFound', field: 'name', message: `job queue "${name}" does not exist` };
}

/** Ends waiting jobs of deleted queues, at most `budget` rows of them; true when some are left. */
export function drainDeletedQueues(core: CoreState, budget: number): boolean {
  let steps = budget;
  for (const queue of core.queueOrder) {
    if (!queue.deleting) continue;
    for (; queue.deletionRow < core.jobs.rowBound; queue.deletionRow++) {
      if (steps-- <= 0) return true;
      endWaiting(core, queue, queue.deletionRow);
    }
    if (queue.counts.every((jobs) => jobs === 0)) dropQueue(core, queue);
    // A job that went back to waiting (tried again, rejected) is found on the next round.
    else if ((queue.counts[JobState.runnable] ?? 0) + (queue.counts[JobState.pending] ?? 0) > 0) queue.deletionRow = 0;
  }
  return false;
}

function endWaiting(core: CoreState, queue: Queue, row: number): void {
  const { jobs } = core;
  const state = jobs.state(row) as number;
  if (state === 0 || isTerminal(jobs.state(row)) || jobs.get('queue', row) !== queue.index) return;
  if (jobs.has(row, JobFlag.array)) {
    const array = arrayOf(core, row);
    closeArray(core, array, { reason: QUEUE_DELETED, cause: EndCause.queueDeleted });
    afterChildren(core, array);
    return;
  }
  if (jobs.get('placed', row) !== NONE) return;
  endJob(core, row, { state: JobState.failed, statusReason: QUEUE_DELETED, attempt: undefined });
}

function dropQueue(core: CoreState, queue: Queue): void {
  // Retired rows still name the queue by its index, which is therefore never used again.
  core.queuesByName.delete(scoped(queue.account, queue.name));
  orderQueues(core);
  remove(core, queueKey(queue.account, queue.name));
}

function resolve(core: CoreState, account: string, names: readonly string[]): Environment[] | Refusal {
  if (names.length === 0) {
    return {
      ok: false,
      code: 'invalid',
      field: 'compute_environments',
      message: 'at least 1 compute environment must be provided',
    };
  }
  const environments: Environment[] = [];
  for (const [at, name] of names.entries()) {
    const environment = core.environments.get(scoped(account, name));
    if (environment === undefined) {
      const message = `compute environment "${name}" does not exist`;
      return { ok: false, code: 'notFound', field: `compute_environments[${at}]`, message };
    }
    if (environments.includes(environment)) {
      const message = `compute environment "${name}" is named twice`;
      return { ok: false, code: 'invalid', field: `compute_environments[${at}]`, message };
    }
    environments.push(environment);
  }
  return environments;
}

/** Makes a queue, here or at load. */
export function addQueue(core: CoreState, record: QueueRecord & QueueSettings): Queue {
  const queue: Queue = {
    index: core.queues.length,
    account: record.account,
    name: record.name,
    createdAtMs: record.createdAtMs,
    priority: record.priority,
    enabled: record.enabled,
    deleting: record.deleting,
    deletionRow: 0,
    environmentNames: record.environments,
    environments: record.environments.flatMap((name) => core.environments.get(scoped(record.account, name)) ?? []),
    tags: record.tags,
    version: record.version,
    heap: new ClassHeap(core.classes, (a, b) => servedBefore(core, a, b)),
    parked: [],
    counts: [0, 0, 0, 0, 0, 0],
  };
  core.queues.push(queue);
  core.queuesByName.set(scoped(queue.account, queue.name), queue);
  orderQueues(core);
  return queue;
}

function orderQueues(core: CoreState): void {
  core.queueOrder = [...core.queuesByName.values()].sort((a, b) => {
    if (a.priority !== b.priority) return b.priority - a.priority;
    return a.name < b.name ? -1 : 1;
  });
}

function writeQueue(core: CoreState, queue: Queue): void {
  const { account, name, priority, enabled, tags, version, createdAtMs, deleting } = queue;
  const record: QueueRecord = {
    account,
    name,
    priority,
    enabled,
    environments: queue.environmentNames,
    tags,
    version,
    createdAtMs,
    deleting,
  };
  put(core, queueKey(account, name), encodeRecord(record));
}
