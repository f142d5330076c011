import { assert } from '../assert.ts';
import type { CoreState, Environment, Queue } from '../state.ts';
import { JobFlag, NONE } from '../tables/job-table.ts';

// A class with ready jobs stands in its queue's heap, or among the parked when it did not fit; one without in neither.

/** Whether class `a` is served before class `b`: by priority, then by the number of its first job. */
export function servedBefore(core: CoreState, a: number, b: number): boolean {
  const { classes, jobs, ready } = core;
  const byPriority = (classes.priority[b] as number) - (classes.priority[a] as number);
  if (byPriority !== 0) return byPriority < 0;
  return jobs.get('number', ready.head(a)) < jobs.get('number', ready.head(b));
}

function queueOfClass(core: CoreState, cls: number): Queue {
  return core.queues[core.classes.queue[cls] as number] as Queue;
}

/** A job is ready to be placed. */
export function addReady(core: CoreState, row: number): void {
  const { classes, jobs, ready } = core;
  const cls = jobs.get('class', row);
  const before = ready.head(cls);
  ready.add(row);
  if (classes.parked[cls]) return;
  const { heap } = queueOfClass(core, cls);
  if (before === NONE) heap.add(cls);
  else if (ready.head(cls) !== before) heap.moved(cls);
}

/** A job is not ready any more: placed, or over. */
export function removeReady(core: CoreState, row: number): void {
  const { classes, jobs, ready } = core;
  assert(jobs.has(row, JobFlag.ready), `row ${row} is not ready`);
  const cls = jobs.get('class', row);
  const queue = queueOfClass(core, cls);
  const wasHead = ready.head(cls) === row;
  // While the last job leaves, the class must not be compared with others: it has no head.
  const last = classes.ready[cls] === 1;
  if (last && !classes.parked[cls]) queue.heap.remove(cls);
  if (last && classes.parked[cls]) unlinkParked(core, queue, cls);
  ready.remove(row);
  if (!last && wasHead && !classes.parked[cls]) queue.heap.moved(cls);
}

/** A class did not fit: it is not tried again before some node has more room. */
export function park(core: CoreState, queue: Queue, cls: number): void {
  queue.heap.remove(cls);
  core.classes.parked[cls] = true;
  core.classes.place[cls] = queue.parked.length;
  queue.parked.push(cls);
}

function unlinkParked(core: CoreState, queue: Queue, cls: number): void {
  const { classes } = core;
  const at = classes.place[cls] as number;
  const last = queue.parked.pop() as number;
  if (last !== cls) {
    queue.parked[at] = last;
    classes.place[last] = at;
  }
  classes.parked[cls] = false;
  classes.place[cls] = NONE;
}

/** Brings back every parked class of a queue that one of these environments may have room for now. */
export function unpark(core: CoreState, queue: Queue, environments: readonly Environment[]): void {
  const { classes } = core;
  for (let at = queue.parked.length - 1; at >= 0; at--) {
    const cls = queue.parked[at] as number;
    const fits = environments.some((e) =>
      e.index.mayFit(classes.milliVcpu[cls] as number, classes.memoryBytes[cls] as number),
    );
    if (!fits) continue;
    unlinkParked(core, queue, cls);
    queue.heap.add(cls);
  }
}
