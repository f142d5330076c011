import { MAX_RETIRED_JOBS, RETIRED_TURNS } from '../limits.ts';
import type { CoreState } from '../state.ts';
import { JobFlag, NONE } from '../tables/job-table.ts';

/**
 * Jobs that are over stay known for a while after their turn is durable, so that facts read from the store before they
 * ended are never trusted after. Then their rows are given back.
 */
export function evictRetired(core: CoreState): void {
  const { retired, jobs } = core;
  while (core.retiredHead < retired.length) {
    const next = retired[core.retiredHead] as { row: number; turn: number };
    const old = core.turn - next.turn > RETIRED_TURNS || retired.length - core.retiredHead > MAX_RETIRED_JOBS;
    // Its dependents are told first: they are found through its row.
    if (!old || next.turn > core.durableTurn || jobs.get('firstDependent', next.row) !== NONE) break;
    if ((core.arrays.get(next.row)?.untold ?? 0) > 0) break;
    core.retiredHead += 1;
    core.evictedTurn = Math.max(core.evictedTurn, next.turn);
    releaseRow(core, next.row);
  }
  if (core.retiredHead > 4096 && core.retiredHead * 2 > retired.length) {
    retired.splice(0, core.retiredHead);
    core.retiredHead = 0;
  }
}

function releaseRow(core: CoreState, row: number): void {
  const { jobs } = core;
  core.classes.release(jobs.get('class', row));
  core.definitionPins.release(jobs.get('definition', row));
  core.users.release(jobs.get('user', row));
  core.submitters.release(jobs.get('submitter', row));
  core.retries.release(jobs.get('retry', row));
  core.children -= core.arrays.get(row)?.size ?? 0;
  core.arrays.delete(row);
  jobs.setFlag(row, JobFlag.watched, false);
  jobs.release(row);
}
