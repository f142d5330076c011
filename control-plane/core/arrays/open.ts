import { failDependent } from '../jobs/dependencies.ts';
import { setState } from '../jobs/transition.ts';
import type { CoreState } from '../state.ts';
import { JobFlag, NONE } from '../tables/job-table.ts';
import { JobState, type NewArray, type NewDependency } from '../types.ts';
import { ArrayState } from './array-state.ts';
import { afterChildren, arrayOf, endChildren, settleChildren } from './children.ts';
import { COUNTERPART_FAILED, follow, followEnded } from './n-to-n.ts';

// How an array begins, when it is submitted and when it is loaded: its rules, then what is known of its children, then what
// they wait for, and at last the children that nothing is known of yet.

/** Makes the children of a row, none of them settled yet. */
export function addArray(core: CoreState, row: number, rules: NewArray): ArrayState {
  const array = new ArrayState(row, rules, core.wallMs);
  core.jobs.setFlag(row, JobFlag.array, true);
  core.arrays.set(row, array);
  core.children += array.size;
  return array;
}

/** N_TO_N on the job in row `on` (NONE: it has left memory). Counterparts that failed take effect when the array is opened. */
export function connectChildren(core: CoreState, row: number, on: number, { ended }: NewDependency): void {
  const array = arrayOf(core, row);
  // An array that has been forgotten ended long before; its followers were told then.
  if (on === NONE && ended === undefined) return;
  const fails = on === NONE && ended !== undefined ? followEnded(ended) : follow(core, array, on);
  const { doomed } = array;
  array.doomed = doomed === undefined ? fails : (child) => doomed(child) || fails(child);
}

/** Settles the children: each waits, may be placed, or has failed already, as its dependencies say. */
export function openArray(core: CoreState, row: number, dependencyFailed: boolean): void {
  const array = arrayOf(core, row);
  if (core.jobs.state(row) === JobState.submitted) setState(core, row, JobState.pending);
  if (array.rules.sequential) waitForPredecessors(array);
  array.canariesPassed = !array.onlyCanaries;
  settleChildren(core, array);
  if (dependencyFailed) {
    failDependent(core, row);
    return;
  }
  const { doomed } = array;
  array.doomed = undefined;
  if (doomed !== undefined) endChildren(core, array, COUNTERPART_FAILED, doomed);
  afterChildren(core, array);
}

function waitForPredecessors({ waitsFor, states }: ArrayState): void {
  if (waitsFor === undefined) return;
  for (let child = 1; child < states.length; child++) {
    if (states[child - 1] !== JobState.succeeded) waitsFor[child] = (waitsFor[child] as number) + 1;
  }
}
