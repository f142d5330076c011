import { checkArray } from './arrays/sanity.ts';
import { assert } from './assert.ts';
import { recomputeFree } from './nodes/capacity.ts';
import type { CoreState, Node, Queue } from './state.ts';
import { JobFlag, NONE } from './tables/job-table.ts';
import { isTerminal, JobState } from './types.ts';

/** Derives every index, count and sum from the rows and compares it with what is kept. For tests: it looks at everything. */
export function sanityCheck(core: CoreState): void {
  const children = [...core.arrays.values()].reduce((sum, { size }) => sum + size, 0);
  assert(children === core.children, `arrays have ${children} children, ${core.children} are counted`);
  core.jobs.sanityCheck();
  checkCounts(core);
  checkReady(core);
  checkPlaced(core);
  for (const node of core.nodes.values()) checkNode(node);
}

function checkCounts(core: CoreState): void {
  const expected = new Map<number, number[]>();
  const references = new Map<number, number>();
  for (const row of core.jobs.all()) {
    const cls = core.jobs.get('class', row);
    references.set(cls, (references.get(cls) ?? 0) + 1);
    const queue = core.jobs.get('queue', row);
    const counts = expected.get(queue) ?? [0, 0, 0, 0, 0, 0];
    for (const state of unitsOf(core, row)) if (!isTerminal(state)) counts[state] = (counts[state] ?? 0) + 1;
    expected.set(queue, counts);
  }
  for (const queue of core.queueOrder) {
    const counts = expected.get(queue.index) ?? [0, 0, 0, 0, 0, 0];
    assert(
      counts.join() === queue.counts.join(),
      `queue ${queue.name} counts ${queue.counts.join()}, its rows say ${counts.join()}`,
    );
  }
  for (const cls of core.classes.all()) {
    assert(core.classes.referencesTo(cls) === references.get(cls), `class ${cls} counts its rows wrong`);
  }
}

/** The states that a row is counted by. */
function unitsOf(core: CoreState, row: number): Iterable<JobState> {
  return (core.arrays.get(row)?.states as Iterable<JobState> | undefined) ?? [core.jobs.state(row)];
}

function checkReady(core: CoreState): void {
  const { classes, jobs } = core;
  const ready = new Map<number, Set<number>>();
  for (const row of jobs.all()) {
    const runnable = core.arrays.get(row)?.drawable ?? jobs.state(row) === JobState.runnable;
    assert(jobs.has(row, JobFlag.ready) === runnable, `row ${row} in state ${jobs.state(row)} is ready: ${!runnable}`);
    if (!runnable) continue;
    const cls = jobs.get('class', row);
    ready.set(cls, (ready.get(cls) ?? new Set()).add(row));
  }
  for (const cls of classes.all()) {
    const rows = [...core.ready.inOrder(cls)];
    assert(rows.length === (ready.get(cls)?.size ?? 0), `class ${cls} lists ${rows.length} ready jobs`);
    assert(
      rows.length === classes.ready[cls],
      `class ${cls} counts ${classes.ready[cls]} ready jobs, lists ${rows.length}`,
    );
    assert((rows[0] ?? NONE) === core.ready.head(cls), `class ${cls} has another head`);
    for (const [at, row] of rows.entries()) {
      const before = rows[at - 1];
      assert(ready.get(cls)?.has(row) === true, `class ${cls} lists row ${row}, which is not ready`);
      const ordered = before === undefined || jobs.get('number', before) < jobs.get('number', row);
      assert(ordered, `class ${cls} is out of order at row ${row}`);
    }
    const queue = core.queues[classes.queue[cls] as number] as Queue;
    const home = classes.parked[cls] ? queue.parked : queue.heap.values();
    const queued = classes.place[cls] !== NONE;
    assert(queued === rows.length > 0, `class ${cls} with ${rows.length} ready jobs is queued: ${queued}`);
    if (queued) assert(home[classes.place[cls] as number] === cls, `class ${cls} does not stand where it says`);
  }
}

function checkPlaced(core: CoreState): void {
  let placedRows = 0;
  for (const row of core.jobs.all()) {
    const array = core.arrays.get(row);
    assert((array !== undefined) === core.jobs.has(row, JobFlag.array), `row ${row} is an array, and is none`);
    if (array !== undefined) {
      checkArray(core, array);
      placedRows += array.active;
      continue;
    }
    const state = core.jobs.state(row);
    const placed = core.placed[core.jobs.get('placed', row)];
    const expected = state === JobState.starting || state === JobState.running;
    assert((placed !== undefined) === expected, `row ${row} in state ${state} is placed: ${placed !== undefined}`);
    if (placed === undefined) continue;
    placedRows++;
    assert(
      placed.row === row && placed.node.attempts.get(placed.slot) === placed,
      `row ${row} is placed on a node that does not have it`,
    );
    assert(placed.attempt === core.jobs.get('attempt', row), `row ${row} has another attempt than its placement`);
  }
  const onNodes = [...core.nodes.values()].reduce((sum, node) => sum + node.attempts.size, 0);
  assert(onNodes === placedRows, `nodes hold ${onNodes} attempts, rows say ${placedRows}`);
}

function checkNode(node: Node): void {
  const kept = describeFree(node);
  recomputeFree(node);
  const derived = describeFree(node);
  assert(kept === derived, `node ${node.name} keeps ${kept} free, its attempts say ${derived}`);
  const unanswered = [...node.attempts.values()].filter((placed) => !placed.accepted).length;
  assert(
    unanswered === node.unanswered,
    `node ${node.name} counts ${node.unanswered} unanswered placements, has ${unanswered}`,
  );
}

function describeFree(node: Node): string {
  const named = [...node.freeNamed].map(([name, count]) => `${name}=${count}`).toSorted();
  return [node.freeMilliVcpu, node.freeMemoryBytes, ...named].join();
}
