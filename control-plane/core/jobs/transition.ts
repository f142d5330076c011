import type { ArrayState } from '../arrays/array-state.ts';
import { RangeSet } from '../arrays/range-set.ts';
import { assert, known } from '../assert.ts';
import { encodeAttempt, encodeEndedJob } from '../records/ended-job.ts';
import { encodeHistory } from '../records/history.ts';
import { attemptKey, endedJobKey, historyKey, jobIdIndexKey, liveJobKey, numberBytes } from '../records/keys.ts';
import { addReady, removeReady } from '../scheduler/queueing.ts';
import { type CoreState, emit, type Placed, put, type Queue, remove, updateCluster } from '../state.ts';
import { JobFlag, NONE } from '../tables/job-table.ts';
import { isTerminal, JobState } from '../types.ts';
import type { EndedArray, EndedAttempt } from '../view.ts';

/*
 * The life of a job. Every change of state goes through `setState`.
 *
 *   SUBMITTED ──► PENDING   waits for jobs, or is held
 *       │            │
 *       └─────┬──────┘ nothing open ──► FAILED (a dependency failed, cancelled, queue deleted)
 *             ▼
 *         RUNNABLE ◄──────────────┐  ──► FAILED (cancelled, queue deleted)
 *             │ placed            │ tried again, or the node rejected it
 *             ▼                   │
 *         STARTING ───────────────┤
 *             │ started           │
 *             ▼                   │
 *         RUNNING ────────────────┘
 *             │ ended
 *             ▼
 *         SUCCEEDED | FAILED        a terminal job leaves memory after its turn is durable
 */

const NEXT: Readonly<Record<JobState, readonly JobState[]>> = {
  [JobState.submitted]: [JobState.pending, JobState.runnable, JobState.failed],
  [JobState.pending]: [
    JobState.runnable,
    JobState.failed,
    JobState.starting,
    JobState.running,
    // The parent of an array.
    JobState.succeeded,
  ],
  [JobState.runnable]: [JobState.pending, JobState.starting, JobState.running, JobState.failed, JobState.succeeded],
  [JobState.starting]: [JobState.runnable, JobState.running, JobState.succeeded, JobState.failed],
  [JobState.running]: [JobState.runnable, JobState.succeeded, JobState.failed],
  [JobState.succeeded]: [],
  [JobState.failed]: [],
};

export function queueOf(core: CoreState, row: number): Queue {
  return known(core.queues[core.jobs.get('queue', row)], 'queue of a job');
}

/** Moves a job to another state: the only place that does. */
export function setState(core: CoreState, row: number, to: JobState): void {
  const from = core.jobs.state(row);
  assertNext(core, row, from, to);
  core.jobs.setState(row, to);
  // An array counts by its children.
  if (!core.jobs.has(row, JobFlag.array)) {
    count(core, row, from, -1);
    count(core, row, to, 1);
  }
  markDirty(core, row);
  const { account, name: queue } = queueOf(core, row);
  emit(core, { kind: 'jobChanged', row, number: core.jobs.get('number', row), account, queue, from, to });
}

export function assertNext(core: CoreState, row: number, from: JobState, to: JobState): void {
  assert(NEXT[from].includes(to), `job ${core.jobs.get('number', row)} cannot go from state ${from} to ${to}`);
}

export function count(core: CoreState, row: number, state: JobState, by: number): void {
  if (isTerminal(state)) return;
  const { counts } = queueOf(core, row);
  counts[state] = (counts[state] ?? 0) + by;
  core.counts[state] = (core.counts[state] ?? 0) + by;
}

/** The header is written once at the end of the turn, however often it changes. */
export function markDirty(core: CoreState, row: number): void {
  if (core.jobs.has(row, JobFlag.dirty)) return;
  core.jobs.setFlag(row, JobFlag.dirty, true);
  core.buffer.dirtyRows.push(row);
}

/** Everything it waited for is there: it may be placed. */
export function makeRunnable(core: CoreState, row: number): void {
  setState(core, row, JobState.runnable);
  core.jobs.set('runnableAt', row, core.wallMs);
  addReady(core, row);
}

/** How a job ends. `attempt` is its last, when it had one. */
export interface JobEnd {
  readonly state: typeof JobState.succeeded | typeof JobState.failed;
  readonly statusReason: string;
  readonly attempt: EndedAttempt | undefined;
}

/** Ends a job: its record moves from the living to the ended, and whoever waits for it will be told. */
export function endJob(core: CoreState, row: number, end: JobEnd): void {
  const { jobs } = core;
  const queue = queueOf(core, row);
  const number = jobs.get('number', row);
  const id = jobs.id(row);
  const array = core.arrays.get(row);
  assert(jobs.get('placed', row) === NONE, `job ${number} ends while it is placed`);
  if (jobs.has(row, JobFlag.ready)) removeReady(core, row);
  setState(core, row, end.state);
  put(
    core,
    endedJobKey(queue.account, number),
    encodeEndedJob({
      id,
      number,
      account: queue.account,
      state: end.state,
      queue: queue.name,
      definition: core.definitionPins.get(jobs.get('definition', row)),
      user: core.users.get(jobs.get('user', row)),
      submittedBy: core.submitters.get(jobs.get('submitter', row)),
      requirements: core.classes.requirements(jobs.get('class', row)),
      digest: jobs.digest(row),
      priority: core.classes.priority[jobs.get('class', row)] as number,
      cancelRequested: jobs.has(row, JobFlag.cancelRequested),
      terminateRequested: jobs.has(row, JobFlag.terminateRequested),
      createdAtMs: jobs.get('createdAt', row),
      runnableAtMs: jobs.get('runnableAt', row),
      stoppedAtMs: end.attempt?.stoppedAtMs ?? core.wallMs,
      statusReason: end.statusReason,
      attempts: jobs.get('attempt', row),
      lastAttempt: end.attempt,
      child: NONE,
      array: array && endedArray(array),
    }),
  );
  put(core, jobIdIndexKey(queue.account, id), numberBytes(number));
  remove(core, liveJobKey(queue.account, number));
  updateCluster(core, { endedJobs: core.cluster.endedJobs + 1 });
  core.retired.push({ row, turn: core.turn });
  if (jobs.get('firstDependent', row) !== NONE) core.endedWithDependents.push(row);
}

function endedArray(array: ArrayState): EndedArray {
  return {
    size: array.size,
    succeeded: array.counts[JobState.succeeded] as number,
    failed: RangeSet.where(array.size, (child) => array.state(child) === JobState.failed),
    changedAtMs: array.changedAtMs,
  };
}

/** Writes what an attempt leaves: its accounting record, and its own record when another attempt follows. */
export function recordAttempt(
  core: CoreState,
  placed: Placed,
  attempt: EndedAttempt,
  succeeded: boolean,
  final: boolean,
): void {
  const { jobs } = core;
  const { row, child } = placed;
  const { account, name } = queueOf(core, row);
  const number = jobs.get('number', row);
  put(
    core,
    historyKey(account, attempt.stoppedAtMs, number, attempt.attempt, child),
    encodeHistory({
      ...attempt,
      jobId: jobs.id(row),
      child,
      number,
      account,
      user: core.users.get(jobs.get('user', row)),
      queue: name,
      definition: core.definitionPins.get(jobs.get('definition', row)),
      createdAtMs: jobs.get('createdAt', row),
      milliVcpu: placed.requirements.milliVcpu,
      memoryBytes: placed.requirements.memoryBytes,
      succeeded,
      final,
    }),
  );
  if (!final) put(core, attemptKey(account, number, attempt.attempt, child), encodeAttempt(attempt));
}
