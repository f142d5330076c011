import { afterChildren, arrayOf, closeArray, settleChildren } from '../arrays/children.ts';
import { emitStop } from '../scheduler/pass.ts';
import { removeReady } from '../scheduler/queueing.ts';
import type { CoreState, Placed } from '../state.ts';
import { JobFlag, NONE } from '../tables/job-table.ts';
import {
  type CancelJobs,
  type Cancelled,
  EndCause,
  isTerminal,
  type JobIdBytes,
  JobState,
  type JobTarget,
} from '../types.ts';
import { settlePending } from './settle-pending.ts';
import { markDirty, setState } from './transition.ts';
import { endUnit, hasUnit, markUnit, placedOf, stateOf } from './unit.ts';

/** Ends jobs that wait, and tells the nodes of those that run to stop them. */
export function cancelJobs(core: CoreState, input: CancelJobs): Cancelled[] {
  return input.jobs.map((target) => cancelOne(core, target, input));
}

function cancelOne(core: CoreState, target: JobTarget, input: CancelJobs): Cancelled {
  const { jobs } = core;
  const [id, child] = target instanceof Uint8Array ? [target, NONE] : [target.jobId, target.child];
  const row = jobs.findById(id);
  if (row === NONE) return UNKNOWN;
  if (child === NONE && jobs.has(row, JobFlag.array)) return cancelArray(core, row, input);
  if (!hasUnit(core, row, child)) return UNKNOWN;
  const { mode, reason, graceSeconds } = input;
  const number = jobs.get('number', row);
  const state = stateOf(core, row, child);
  if (isTerminal(state)) return { outcome: 'alreadyEnded', state, number };
  const placed = placedOf(core, row, child);
  if (placed !== undefined) {
    if (mode === 'pendingOnly') return { outcome: 'leftRunning', state, number };
    if (child === NONE) jobs.setFlag(row, JobFlag.terminateRequested, true);
    stopPlaced(core, placed, reason, graceSeconds);
    markUnit(core, row, child);
    return { outcome: 'stopping', state, number };
  }
  if (child === NONE) {
    jobs.setFlag(row, mode === 'pendingOnly' ? JobFlag.cancelRequested : JobFlag.terminateRequested, true);
  }
  const end = { state: JobState.failed, statusReason: reason, cause: EndCause.stopped, attempt: undefined } as const;
  endUnit(core, row, child, end);
  return { outcome: 'ended', state: JobState.failed, number };
}

const UNKNOWN: Cancelled = { outcome: 'unknownJob', state: undefined, number: undefined };

/** The first reason given stays; a repeated stop is passed on, so that a shorter grace can be asked for. */
function stopPlaced(core: CoreState, placed: Placed, reason: string, graceSeconds: number | undefined): void {
  if (placed.stopReason === '') placed.stopReason = reason;
  placed.stopGraceSeconds = graceSeconds;
  placed.stopping = true;
  emitStop(core, placed);
}

/** Children that wait end in one record; what is asked of the others stands in the array's header. */
function cancelArray(core: CoreState, row: number, { mode, reason, graceSeconds }: CancelJobs): Cancelled {
  const { jobs } = core;
  const number = jobs.get('number', row);
  if (isTerminal(jobs.state(row))) return { outcome: 'alreadyEnded', state: jobs.state(row), number };
  const array = arrayOf(core, row);
  const terminate = mode === 'terminate';
  jobs.setFlag(row, terminate ? JobFlag.terminateRequested : JobFlag.cancelRequested, true);
  if (terminate) array.stopGraceSeconds = graceSeconds;
  markDirty(core, row);
  closeArray(core, array, { reason, cause: EndCause.stopped });
  if (terminate) for (const placed of array.allPlaced()) stopPlaced(core, placed, array.reason, graceSeconds);
  afterChildren(core, array);
  const state = jobs.state(row);
  if (isTerminal(state)) return { outcome: 'ended', state, number };
  return { outcome: terminate ? 'stopping' : 'leftRunning', state, number };
}

/** Keeps jobs that wait from being placed; returns those that are held now. */
export function holdJobs(core: CoreState, ids: readonly JobIdBytes[]): JobIdBytes[] {
  return ids.filter((id) => {
    const row = core.jobs.findById(id);
    if (row === NONE) return false;
    const state = core.jobs.state(row);
    if (state !== JobState.pending && state !== JobState.runnable) return false;
    core.jobs.setFlag(row, JobFlag.held, true);
    if (core.jobs.has(row, JobFlag.array)) settleChildren(core, arrayOf(core, row));
    else if (state === JobState.runnable) rest(core, row);
    markDirty(core, row);
    return true;
  });
}

/** Lets held jobs go on; returns those that were held. */
export function releaseJobs(core: CoreState, ids: readonly JobIdBytes[]): JobIdBytes[] {
  return ids.filter((id) => {
    const row = core.jobs.findById(id);
    if (row === NONE || !core.jobs.has(row, JobFlag.held)) return false;
    core.jobs.setFlag(row, JobFlag.held, false);
    markDirty(core, row);
    settlePending(core, row);
    return true;
  });
}

function rest(core: CoreState, row: number): void {
  removeReady(core, row);
  setState(core, row, JobState.pending);
}
