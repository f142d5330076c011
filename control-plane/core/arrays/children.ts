import { assert, known } from '../assert.ts';
import { DEPENDENCY_FAILED } from '../jobs/texts.ts';
import { assertNext, count, endJob, type JobEnd, markDirty, queueOf } from '../jobs/transition.ts';
import { MAX_CHUNK_DELTAS } from '../limits.ts';
import { CHUNK_CHILDREN, encodeChild } from '../records/array-chunk.ts';
import { rangeEndKey } from '../records/keys.ts';
import { encodeRangeEnd } from '../records/range-end.ts';
import { addReady, removeReady } from '../scheduler/queueing.ts';
import { type CoreState, put } from '../state.ts';
import { JobFlag, NONE } from '../tables/job-table.ts';
import { EndCause, isTerminal, JobState } from '../types.ts';
import type { ArrayState } from './array-state.ts';
import { RangeSet } from './range-set.ts';
import { ARRAY_CHILD_FAILED, CANARY_FAILED, FAIL_FAST } from './texts.ts';

/*
 * The life of an array. Its children live as jobs do (jobs/transition.ts), its parent only waits: SUBMITTED, PENDING, and
 * SUCCEEDED or FAILED when all children are over. A child is PENDING while the array's own dependencies are open, the array
 * is held, or what the child waits for alone is not there. The parent stands among its class's ready jobs as long as a child
 * may be drawn from it.
 */

/** About the bytes that one child's change adds to a turn. */
const CHILD_BYTES = 80;

export function isArray(core: CoreState, row: number): boolean {
  return core.jobs.has(row, JobFlag.array);
}

export function arrayOf(core: CoreState, row: number): ArrayState {
  return known(core.arrays.get(row), 'array of a row');
}

/** Nothing that the array as a whole waits for is missing. */
function isGateOpen(core: CoreState, row: number): boolean {
  return core.jobs.get('openDependencies', row) === 0 && !core.jobs.has(row, JobFlag.held);
}

/** Whether a child that waits may be placed, as far as it is up to jobs. */
function mayRun(core: CoreState, array: ArrayState, child: number): boolean {
  if (array.closed || (array.waitsFor?.[child] ?? 0) > 0) return false;
  return isGateOpen(core, array.row) && (child < array.rules.canary || !array.onlyCanaries);
}

/** Moves a child to another state: with `endChildren` the only place that does. */
export function setChildState(core: CoreState, row: number, child: number, to: JobState): void {
  const array = arrayOf(core, row);
  const from = array.state(child);
  assertNext(core, row, from, to);
  array.setState(child, to);
  array.ready.remove(child);
  count(core, row, from, -1);
  count(core, row, to, 1);
  noteChange(core, array);
}

/** The child's record is written at the end of the turn. */
export function markChild(core: CoreState, array: ArrayState, child: number): void {
  const chunk = array.chunk(child);
  const index = Math.floor(child / CHUNK_CHILDREN);
  if (!chunk.dirty.has(child)) core.buffer.bytes += CHILD_BYTES;
  // About what folding it costs, once it is due.
  const due =
    array.open[index] === 0 || (chunk.dirty.size === 0 && chunk.nextDelta - chunk.firstDelta >= MAX_CHUNK_DELTAS);
  if (due) core.buffer.bytes += chunk.ended.size;
  chunk.dirty.add(child);
  array.dirtyChunks.add(index);
  core.buffer.dirtyArrays.add(array.row);
}

function noteChange(core: CoreState, array: ArrayState): void {
  array.changedAtMs = core.wallMs;
  core.buffer.changedArrays.add(array.row);
}

/** A child waits: for what it needs, or to be placed. */
export function letChildWait(core: CoreState, row: number, child: number): void {
  const array = arrayOf(core, row);
  const to = mayRun(core, array, child) ? JobState.runnable : JobState.pending;
  if (array.state(child) !== to) setChildState(core, row, child, to);
  if (to === JobState.runnable) array.ready.add(child);
}

/** The array's place among the ready jobs follows whether a child may be drawn from it. */
export function syncReady(core: CoreState, array: ArrayState): void {
  const { row } = array;
  const wanted = array.drawable;
  if (wanted === core.jobs.has(row, JobFlag.ready)) return;
  if (wanted) addReady(core, row);
  else removeReady(core, row);
}

/** Something that many children wait for came or went: looks at each that waits. */
export function settleChildren(core: CoreState, array: ArrayState): void {
  const { row } = array;
  if (isGateOpen(core, row) && core.jobs.get('runnableAt', row) === 0) {
    core.jobs.set('runnableAt', row, core.wallMs);
    markDirty(core, row);
  }
  const before = [...array.counts];
  const bound = array.onlyCanaries ? array.rules.canary : array.size;
  array.settle(isGateOpen(core, row) && !array.closed ? bound : 0);
  if (countWaiting(core, array, before)) noteChange(core, array);
  syncReady(core, array);
}

/** Ends a child. Call `afterChildren` when that is all that happens to the array. */
export function endChild(
  core: CoreState,
  row: number,
  child: number,
  end: JobEnd & { readonly cause: EndCause },
): void {
  const array = arrayOf(core, row);
  setChildState(core, row, child, end.state);
  const chunk = array.chunk(child);
  const record = encodeChild(
    {
      kind: 'ended',
      state: end.state,
      attempts: array.attempts[child] as number,
      stoppedAtMs: end.attempt?.stoppedAtMs ?? core.wallMs,
      statusReason: end.statusReason,
      cause: end.attempt?.cause ?? end.cause,
      lastAttempt: end.attempt,
    },
    chunk.texts,
  );
  chunk.ended.set(child, record);
  markChild(core, array, child);
  tellFollowers(core, array, child, RangeSet.empty);
  const next = child + 1;
  if (array.rules.sequential && end.state === JobState.succeeded && next < array.size) metForChild(core, array, next);
}

/** One thing fewer that a child waits for. */
export function metForChild(core: CoreState, array: ArrayState, child: number): void {
  const open = known(array.waitsFor, 'what children wait for');
  open[child] = (open[child] as number) - 1;
  if (array.state(child) === JobState.pending) letChildWait(core, array.row, child);
}

/** How children end that were never placed, or wait to be placed again. */
export interface RangeEnding {
  readonly reason: string;
  readonly cause: EndCause;
}

/**
 * Ends those children that wait and are `among` these, in one record however many they are; how many that was. Call
 * `afterChildren` when that is all that happens to the array.
 */
export function endChildren(
  core: CoreState,
  array: ArrayState,
  { reason, cause }: RangeEnding,
  among?: (child: number) => boolean,
): number {
  const { row } = array;
  const before = [...array.counts];
  const children = array.failWaiting(among);
  if (children.size === 0) return 0;
  countWaiting(core, array, before);
  for (const [index, chunk] of array.chunks.entries()) {
    if (chunk !== undefined && array.open[index] === 0) markComplete(core, array, index);
  }
  const { account } = queueOf(core, row);
  const key = rangeEndKey(account, core.jobs.get('number', row), array.rangeEnds);
  array.rangeEnds += 1;
  put(core, key, encodeRangeEnd({ children, reason, cause, atMs: core.wallMs }));
  noteChange(core, array);
  tellFollowers(core, array, NONE, children);
  return children.size;
}

/** The rest of a chunk ended in a range: what it has of its own is folded. */
function markComplete(core: CoreState, array: ArrayState, chunk: number): void {
  array.dirtyChunks.add(chunk);
  core.buffer.dirtyArrays.add(array.row);
}

/** Brings the queue's counts in line after many children moved; whether any did. */
function countWaiting(core: CoreState, array: ArrayState, before: readonly number[]): boolean {
  let moved = false;
  for (const state of [JobState.submitted, JobState.pending, JobState.runnable]) {
    const by = (array.counts[state] as number) - (before[state] as number);
    count(core, array.row, state, by);
    moved ||= by !== 0;
  }
  return moved;
}

function tellFollowers(core: CoreState, array: ArrayState, child: number, failed: RangeSet): void {
  if (array.followers.length === 0) return;
  array.untold += 1;
  core.childrenToTell.push({ row: array.row, child, failed, followers: array.followers.length });
}

/** Nothing that waits goes on any more; what is placed does. */
export function closeArray(core: CoreState, array: ArrayState, ending: RangeEnding): void {
  if (!array.closed) {
    array.closed = true;
    array.reason = ending.reason;
    markDirty(core, array.row);
  }
  endChildren(core, array, ending);
}

/** What follows from children that ended: the array's own rules, and its own end. */
export function afterChildren(core: CoreState, array: ArrayState): void {
  const { row, rules } = array;
  if (isTerminal(core.jobs.state(row))) return;
  const failed = array.counts[JobState.failed] as number;
  if (rules.sequential && array.firstFailed < array.size) {
    endChildren(core, array, AFTER_PREDECESSOR, (child) => child > array.firstFailed);
  }
  if (!array.closed && array.onlyCanaries && array.firstFailed < rules.canary) {
    closeArray(core, array, { reason: CANARY_FAILED, cause: EndCause.dependencyFailed });
  } else if (!array.closed && rules.failFastAfter > 0 && failed >= rules.failFastAfter) {
    closeArray(core, array, { reason: FAIL_FAST, cause: EndCause.dependencyFailed });
  } else if (rules.canary > 0 && !array.onlyCanaries && !array.canariesPassed) {
    array.canariesPassed = true;
    settleChildren(core, array);
  }
  syncReady(core, array);
  if (array.over) endArray(core, array);
}

const AFTER_PREDECESSOR: RangeEnding = { reason: DEPENDENCY_FAILED, cause: EndCause.dependencyFailed };

function endArray(core: CoreState, array: ArrayState): void {
  const failed = (array.counts[JobState.failed] as number) > 0;
  assert(array.ready.count === 0, 'an array that is over has no child that is ready');
  endJob(core, array.row, {
    state: failed ? JobState.failed : JobState.succeeded,
    statusReason: failed ? array.reason || ARRAY_CHILD_FAILED : '',
    attempt: undefined,
  });
}
