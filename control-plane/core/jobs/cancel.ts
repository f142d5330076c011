import { emitStop } from '../scheduler/pass.ts';
import { removeReady } from '../scheduler/queueing.ts';
import type { CoreState, Placed } from '../state.ts';
import { JobFlag, NONE } from '../tables/job-table.ts';
import { type CancelJobs, type Cancelled, isTerminal, type JobIdBytes, JobState } from '../types.ts';
import { endJob, markDirty, setState, settlePending } from './transition.ts';

/** Ends jobs that wait, and tells the nodes of those that run to stop them. */
export function cancelJobs(core: CoreState, input: CancelJobs): Cancelled[] {
  return input.jobs.map((id) => cancelOne(core, id, input));
}

function cancelOne(core: CoreState, id: JobIdBytes, { mode, reason, graceSeconds }: CancelJobs): Cancelled {
  const { jobs } = core;
  const row = jobs.findById(id);
  if (row === NONE) return { outcome: 'unknownJob', state: undefined, number: undefined };
  const number = jobs.get('number', row);
  const state = jobs.state(row);
  if (isTerminal(state)) return { outcome: 'alreadyEnded', state, number };
  const placed = core.placed[jobs.get('placed', row)];
  if (placed !== undefined) {
    if (mode === 'pendingOnly') return { outcome: 'leftRunning', state, number };
    stopPlaced(core, placed, reason, graceSeconds);
    return { outcome: 'stopping', state, number };
  }
  jobs.setFlag(row, mode === 'pendingOnly' ? JobFlag.cancelRequested : JobFlag.terminateRequested, true);
  endJob(core, row, { state: JobState.failed, statusReason: reason, attempt: undefined });
  return { outcome: 'ended', state: JobState.failed, number };
}

/** The first reason given stays; a repeated stop is passed on, so that a shorter grace can be asked for. */
function stopPlaced(core: CoreState, placed: Placed, reason: string, graceSeconds: number | undefined): void {
  if (placed.stopReason === '') placed.stopReason = reason;
  placed.stopGraceSeconds = graceSeconds;
  core.jobs.setFlag(placed.row, JobFlag.terminateRequested, true);
  markDirty(core, placed.row);
  emitStop(core, placed);
}

/** Keeps jobs that wait from being placed; returns those that are held now. */
export function holdJobs(core: CoreState, ids: readonly JobIdBytes[]): JobIdBytes[] {
  return ids.filter((id) => {
    const row = core.jobs.findById(id);
    if (row === NONE) return false;
    const state = core.jobs.state(row);
    if (state !== JobState.pending && state !== JobState.runnable) return false;
    core.jobs.setFlag(row, JobFlag.held, true);
    if (state === JobState.runnable) rest(core, row);
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
