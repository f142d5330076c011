import { settleChildren } from '../arrays/children.ts';
import type { CoreState } from '../state.ts';
import { JobFlag } from '../tables/job-table.ts';
import { JobState } from '../types.ts';
import { makeRunnable } from './transition.ts';

/** A job that waits goes on when nothing is open any more; of an array, the children that wait for nothing else. */
export function settlePending(core: CoreState, row: number): void {
  const { jobs } = core;
  if (jobs.state(row) !== JobState.pending) return;
  const array = core.arrays.get(row);
  if (array !== undefined) settleChildren(core, array);
  else if (jobs.get('openDependencies', row) === 0 && !jobs.has(row, JobFlag.held)) makeRunnable(core, row);
}
