import { queueOf } from '../jobs/transition.ts';
import { MAX_CHUNK_DELTAS } from '../limits.ts';
import { CHUNK_CHILDREN, encodeChild, encodeChunk } from '../records/array-chunk.ts';
import { chunkKey } from '../records/keys.ts';
import { placedRecord } from '../snapshot.ts';
import { type CoreState, put, remove } from '../state.ts';
import { isTerminal } from '../types.ts';
import type { ActiveChunk, ArrayState } from './array-state.ts';
import { arrayOf } from './children.ts';

/**
 * Writes what became of children in this turn: a delta for each chunk that was touched. A chunk that is over, or has too
 * many deltas, is folded into one record; once it is over, memory lets go of its details.
 */
export function writeChildren(core: CoreState): void {
  for (const row of core.buffer.dirtyArrays) {
    const array = arrayOf(core, row);
    for (const index of array.dirtyChunks) writeChunk(core, array, index);
    array.dirtyChunks.clear();
  }
}

function writeChunk(core: CoreState, array: ArrayState, index: number): void {
  const chunk = array.chunks[index];
  if (chunk === undefined) return;
  const { account } = queueOf(core, array.row);
  const number = core.jobs.get('number', array.row);
  const over = array.open[index] === 0;
  const fold = over || chunk.nextDelta - chunk.firstDelta >= MAX_CHUNK_DELTAS;
  const children = fold ? everyChild(array, index) : chunk.dirty;
  const entries = entriesOf(array, chunk, children);
  put(core, chunkKey(account, number, index, chunk.nextDelta), encodeChunk(chunk.texts, entries, fold));
  if (fold) {
    for (let delta = chunk.firstDelta; delta < chunk.nextDelta; delta++) {
      remove(core, chunkKey(account, number, index, delta));
    }
    chunk.firstDelta = chunk.nextDelta;
  }
  chunk.nextDelta += 1;
  chunk.dirty.clear();
  if (over) array.chunks[index] = undefined;
}

function* everyChild(array: ArrayState, index: number): Generator<number> {
  const end = Math.min(array.size, (index + 1) * CHUNK_CHILDREN);
  for (let child = index * CHUNK_CHILDREN; child < end; child++) yield child;
}

/** Records are encoded before the chunk is: they may bring texts that it begins with. */
function entriesOf(array: ArrayState, chunk: ActiveChunk, children: Iterable<number>): [number, Uint8Array][] {
  const entries: [number, Uint8Array][] = [];
  for (const child of children) {
    const record = recordOf(array, chunk, child);
    if (record !== undefined) entries.push([child % CHUNK_CHILDREN, record]);
  }
  return entries;
}

function recordOf(array: ArrayState, chunk: ActiveChunk, child: number): Uint8Array | undefined {
  const ended = chunk.ended.get(child);
  if (ended !== undefined) return ended;
  const attempt = array.attempts[child] as number;
  const placed = chunk.placed.get(child);
  if (placed !== undefined) {
    const { stopping } = placed;
    return encodeChild({ kind: 'placed', attempt, stopping, ...placedRecord(placed) }, chunk.texts);
  }
  // One that was rejected before it ever ran waits as if it had not been placed; its earlier record must give way.
  if (attempt > 0 || (chunk.dirty.has(child) && !isTerminal(array.state(child)))) {
    return encodeChild({ kind: 'waiting', attempt }, chunk.texts);
  }
  return undefined;
}
