import { assert } from '../assert.ts';
import { CHUNK_CHILDREN } from '../records/array-chunk.ts';
import type { CoreState } from '../state.ts';
import { JobFlag } from '../tables/job-table.ts';
import { isTerminal, JobState } from '../types.ts';
import type { ArrayState } from './array-state.ts';

/** Derives everything that an array keeps from its children's states and compares. For tests: it looks at every child. */
export function checkArray(core: CoreState, array: ArrayState): void {
  const { row, rules, size } = array;
  const name = `array ${core.jobs.get('number', row)}`;
  const counts = Array.from({ length: 8 }, () => 0);
  const open = Array.from(array.open, () => 0);
  let ready = 0;
  const sources = sourcesOf(core, array);
  for (let child = 0; child < size; child++) {
    const state = array.state(child);
    counts[state] = (counts[state] ?? 0) + 1;
    const chunk = Math.floor(child / CHUNK_CHILDREN);
    if (!isTerminal(state)) open[chunk] = (open[chunk] ?? 0) + 1;
    if (array.ready.has(child)) ready += 1;
    assert(
      array.ready.has(child) === (state === JobState.runnable),
      `child ${child} of ${name} in state ${state} is ready`,
    );
    checkPlacement(core, array, child, name);
    if (state !== JobState.runnable && state !== JobState.pending) continue;
    if (core.childrenToTell.length > 0) continue;
    const may = mayRun(core, array, child) && sources.every((source) => isTerminal(source.state(child)));
    assert(may === (state === JobState.runnable), `child ${child} of ${name} in state ${state} may be placed: ${may}`);
  }
  assert(
    counts.join() === array.counts.join(),
    `${name} counts ${array.counts.join()}, its children say ${counts.join()}`,
  );
  assert(open.join() === array.open.join(), `${name} counts the open children of its chunks wrong`);
  assert(ready === array.ready.count, `${name} has ${ready} ready children, counts ${array.ready.count}`);
  const { concurrency } = rules;
  assert(
    concurrency === 0 || array.active <= concurrency || adopted(core),
    `${name} has ${array.active} children placed`,
  );
  const over = isTerminal(core.jobs.state(row));
  assert(over === array.over, `${name} is over: ${over}, its children are: ${array.over}`);
  for (const [index, chunk] of array.chunks.entries()) {
    if (chunk === undefined) continue;
    assert(array.open[index] !== 0 || array.dirtyChunks.has(index), `${name} keeps chunk ${index}, which is over`);
  }
}

/** Adopted children may be more than the limit: they run already. */
function adopted(core: CoreState): boolean {
  return core.cluster.adoptedAttempts > 0;
}

function checkPlacement(core: CoreState, array: ArrayState, child: number, name: string): void {
  const state = array.state(child);
  const placed = array.placed(child);
  const expected = state === JobState.starting || state === JobState.running;
  assert((placed !== undefined) === expected, `child ${child} of ${name} in state ${state} is placed: ${!expected}`);
  if (placed === undefined) return;
  const there = core.placed[placed.slot] === placed && placed.node.attempts.get(placed.slot) === placed;
  assert(
    there && placed.row === array.row && placed.child === child,
    `child ${child} of ${name} is not where it is placed`,
  );
  assert(placed.attempt === array.attempts[child], `child ${child} of ${name} has another attempt than its placement`);
}

/** As the rules say it, from scratch. */
function mayRun(core: CoreState, array: ArrayState, child: number): boolean {
  const { jobs } = core;
  const { row, rules } = array;
  if (array.closed || jobs.get('openDependencies', row) > 0 || jobs.has(row, JobFlag.held)) return false;
  if (rules.sequential && child > 0 && array.state(child - 1) !== JobState.succeeded) return false;
  if (child >= rules.canary) {
    for (let canary = 0; canary < Math.min(rules.canary, array.size); canary++) {
      if (array.state(canary) !== JobState.succeeded) return false;
    }
  }
  return true;
}

/** The arrays that this one waits for child by child. */
function sourcesOf(core: CoreState, { row }: ArrayState): ArrayState[] {
  const generation = core.jobs.get('generation', row);
  return [...core.arrays.values()].filter(({ followers }) =>
    followers.some((follower) => follower.row === row && follower.generation === generation),
  );
}
