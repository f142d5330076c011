import { known } from '../assert.ts';
import { DEPENDENCY_FAILED } from '../jobs/texts.ts';
import type { ChildrenToTell, CoreState } from '../state.ts';
import { NONE } from '../tables/job-table.ts';
import { EndCause, type EndedFact, isTerminal, JobState } from '../types.ts';
import type { ArrayState, Follower } from './array-state.ts';
import { afterChildren, arrayOf, endChild, endChildren, metForChild, syncReady } from './children.ts';

// N_TO_N: child i of one array waits for child i of another. Those that wait are the other array's followers.

/** Steps of background work that ending or failing a range of children counts as. */
const RANGE_STEPS = 100;

/** Every child of `array` waits for its counterpart in the array of row `on`; the children that can never go on. */
export function follow(core: CoreState, array: ArrayState, on: number): (child: number) => boolean {
  const other = arrayOf(core, on);
  array.waitsFor ??= new Uint16Array(array.size);
  const open = array.waitsFor;
  for (let child = 0; child < array.size; child++) {
    if (!isTerminal(other.state(child))) open[child] = (open[child] as number) + 1;
  }
  if (!isTerminal(core.jobs.state(on))) {
    other.followers.push({ row: array.row, generation: core.jobs.get('generation', array.row) });
  }
  return (child) => other.state(child) === JobState.failed;
}

/** As `follow`, of an array that is over. */
export function followEnded({ array }: EndedFact): (child: number) => boolean {
  return (child) => array?.failed.has(child) ?? false;
}

/** Tells followers of children that ended, in order, in about `budget` steps; how many are left of it. */
export function tellFollowers(core: CoreState, budget: number): number {
  let steps = budget;
  while (core.childrenToTell.length > 0 && steps > 0) {
    const news = known(core.childrenToTell.shift(), 'news of children');
    const array = arrayOf(core, news.row);
    array.untold -= 1;
    for (const follower of array.followers.slice(0, news.followers)) {
      steps -= news.child === NONE ? RANGE_STEPS : 1;
      tell(core, array, follower, news);
    }
  }
  return steps;
}

function tell(core: CoreState, source: ArrayState, { row, generation }: Follower, news: ChildrenToTell): void {
  if (core.jobs.get('generation', row) !== generation || isTerminal(core.jobs.state(row))) return;
  const array = arrayOf(core, row);
  const { child, failed } = news;
  if (child === NONE) {
    endChildren(core, array, COUNTERPART_FAILED, (each) => failed.has(each));
    afterChildren(core, array);
  } else if (isTerminal(array.state(child))) {
    return;
  } else if (source.state(child) === JobState.succeeded) {
    metForChild(core, array, child);
    syncReady(core, array);
  } else {
    endChild(core, row, child, {
      state: JobState.failed,
      statusReason: COUNTERPART_FAILED.reason,
      cause: COUNTERPART_FAILED.cause,
      attempt: undefined,
    });
    afterChildren(core, array);
  }
}

export const COUNTERPART_FAILED = { reason: DEPENDENCY_FAILED, cause: EndCause.dependencyFailed } as const;
