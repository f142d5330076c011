import { afterChildren, arrayOf, closeArray } from '../arrays/children.ts';
import { tellFollowers } from '../arrays/n-to-n.ts';
import type { CoreState } from '../state.ts';
import { JobFlag, NONE } from '../tables/job-table.ts';
import { DependencyType, EndCause, isTerminal, JobState } from '../types.ts';
import { settlePending } from './settle-pending.ts';
import { DEPENDENCY_FAILED } from './texts.ts';
import { endJob } from './transition.ts';

/** Whether a job that ended in `state` meets a dependency of this type. */
export function isMet(type: DependencyType, state: JobState): boolean {
  switch (type) {
    case DependencyType.afterAny:
      return isTerminal(state);
    case DependencyType.afterNotOk:
      return state === JobState.failed;
    default:
      return state === JobState.succeeded;
  }
}

/** `row` waits for the live job in row `on`. */
export function addDependency(core: CoreState, row: number, on: number, type: DependencyType): void {
  const { jobs } = core;
  const first = core.edges.add(jobs.get('firstDependent', on), row, jobs.get('generation', row), type);
  jobs.set('firstDependent', on, first);
  jobs.set('openDependencies', row, jobs.get('openDependencies', row) + 1);
}

/**
 * Tells the dependents of jobs that ended, in order, at most `budget` of them; true when some are left for a later turn.
 * What a crash cuts short is found again at load: a pending job's dependencies are looked up anew.
 */
export function tellDependents(core: CoreState, budget: number): boolean {
  const { jobs, edges, endedWithDependents } = core;
  let steps = tellFollowers(core, budget);
  if (core.childrenToTell.length > 0) return true;
  while (endedWithDependents.length > 0) {
    const row = endedWithDependents[0] as number;
    for (let edge = jobs.get('firstDependent', row); edge !== NONE; edge = jobs.get('firstDependent', row)) {
      if (steps-- <= 0) return true;
      const { row: dependent, generation, type, next } = edges.at(edge);
      jobs.set('firstDependent', row, next);
      edges.remove(edge);
      if (jobs.get('generation', dependent) !== generation || isTerminal(jobs.state(dependent))) continue;
      tell(core, dependent, isMet(type, jobs.state(row)));
    }
    endedWithDependents.shift();
  }
  return false;
}

function tell(core: CoreState, row: number, met: boolean): void {
  if (!met) {
    failDependent(core, row);
    return;
  }
  core.jobs.set('openDependencies', row, core.jobs.get('openDependencies', row) - 1);
  settlePending(core, row);
}

/** A job that waits for what can never come. */
export function failDependent(core: CoreState, row: number): void {
  if (core.jobs.has(row, JobFlag.array)) {
    const array = arrayOf(core, row);
    closeArray(core, array, { reason: DEPENDENCY_FAILED, cause: EndCause.dependencyFailed });
    afterChildren(core, array);
    return;
  }
  endJob(core, row, { state: JobState.failed, statusReason: DEPENDENCY_FAILED, attempt: undefined });
}
