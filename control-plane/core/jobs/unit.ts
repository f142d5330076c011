import {
  afterChildren,
  arrayOf,
  endChild,
  isArray,
  letChildWait,
  markChild,
  setChildState,
  syncReady,
} from '../arrays/children.ts';
import type { CoreState, Placed } from '../state.ts';
import { NONE } from '../tables/job-table.ts';
import type { EndCause, JobState } from '../types.ts';
import { endJob, type JobEnd, makeRunnable, markDirty, setState } from './transition.ts';

// What is placed is a plain job (`child` NONE) or one child of an array. Here the two are told apart, and nowhere else.

/** Whether this row has such a child, or, for NONE, is a plain job. */
export function hasUnit(core: CoreState, row: number, child: number): boolean {
  if (!isArray(core, row)) return child === NONE;
  return child >= 0 && child < arrayOf(core, row).size;
}

export function stateOf(core: CoreState, row: number, child: number): JobState {
  return child === NONE ? core.jobs.state(row) : arrayOf(core, row).state(child);
}

/** Attempts begun. */
export function attemptOf(core: CoreState, row: number, child: number): number {
  return child === NONE ? core.jobs.get('attempt', row) : (arrayOf(core, row).attempts[child] as number);
}

export function setAttempt(core: CoreState, row: number, child: number, attempt: number): void {
  if (child === NONE) core.jobs.set('attempt', row, attempt);
  else arrayOf(core, row).attempts[child] = attempt;
}

export function placedOf(core: CoreState, row: number, child: number): Placed | undefined {
  return child === NONE ? core.placed[core.jobs.get('placed', row)] : arrayOf(core, row).placed(child);
}

/** Notes where a unit is placed, or that it is not any more. */
export function setPlaced(core: CoreState, row: number, child: number, placed: Placed | undefined): void {
  if (child === NONE) {
    core.jobs.set('placed', row, placed?.slot ?? NONE);
    return;
  }
  const chunk = arrayOf(core, row).chunk(child);
  if (placed === undefined) chunk.placed.delete(child);
  else chunk.placed.set(child, placed);
}

/** Moves a unit that is placed to another state. */
export function setUnitState(core: CoreState, row: number, child: number, to: JobState): void {
  if (child === NONE) {
    setState(core, row, to);
    return;
  }
  const array = arrayOf(core, row);
  setChildState(core, row, child, to);
  markChild(core, array, child);
  syncReady(core, array);
}

/** What is written of it changed. */
export function markUnit(core: CoreState, row: number, child: number): void {
  if (child === NONE) markDirty(core, row);
  else markChild(core, arrayOf(core, row), child);
}

/** It waits to be placed again. */
export function waitAgain(core: CoreState, row: number, child: number): void {
  if (child === NONE) {
    makeRunnable(core, row);
    return;
  }
  const array = arrayOf(core, row);
  letChildWait(core, row, child);
  markChild(core, array, child);
  syncReady(core, array);
}

/** Ends a unit, and its array with it when it was the last. */
export function endUnit(core: CoreState, row: number, child: number, end: JobEnd & { readonly cause: EndCause }): void {
  if (child === NONE) endJob(core, row, end);
  else {
    endChild(core, row, child, end);
    afterChildren(core, arrayOf(core, row));
  }
}
