import { count } from '../jobs/transition.ts';
import { CHUNK_CHILDREN, ChunkContent, decodeChild } from '../records/array-chunk.ts';
import { chunkOf, RANGE_ENDS } from '../records/keys.ts';
import { decodeRangeEnd } from '../records/range-end.ts';
import { addPlaced } from '../scheduler/pass.ts';
import { type CoreState, scoped } from '../state.ts';
import { JobFlag } from '../tables/job-table.ts';
import { JobState } from '../types.ts';
import { ActiveChunk, type ArrayState } from './array-state.ts';

/** Brings back what the store knows of one array's children. Feed it the array's records in the order of their keys. */
export class ChildrenLoader {
  private readonly core: CoreState;
  private readonly account: string;
  private readonly array: ArrayState;
  private index = -1;
  private content = new ChunkContent();
  private firstDelta = 0;
  private nextDelta = 0;

  constructor(core: CoreState, account: string, array: ArrayState) {
    this.core = core;
    this.account = account;
    this.array = array;
  }

  record(key: Uint8Array, value: Uint8Array): void {
    const { chunk, sequence } = chunkOf(key);
    if (chunk !== this.index) {
      this.settleChunk();
      this.index = chunk;
      this.content = new ChunkContent();
      this.firstDelta = sequence;
    }
    this.nextDelta = sequence + 1;
    if (chunk === RANGE_ENDS) this.rangeEnd(value);
    else this.content.add(value);
  }

  /** Call it after the last record. */
  finish(): void {
    const { array, core } = this;
    this.settleChunk();
    for (const [index, open] of array.open.entries()) if (open === 0) array.chunks[index] = undefined;
    for (const state of [JobState.starting, JobState.running]) count(core, array.row, state, array.counts[state] ?? 0);
  }

  private rangeEnd(value: Uint8Array): void {
    const { children } = decodeRangeEnd(value);
    for (const child of children.values()) this.array.setState(child, JobState.failed);
    this.array.rangeEnds = this.nextDelta;
  }

  private settleChunk(): void {
    const { array, index, content } = this;
    if (index < 0 || index === RANGE_ENDS) return;
    const chunk = new ActiveChunk(content.texts, this.firstDelta, this.nextDelta);
    array.chunks[index] = chunk;
    for (const [place, record] of content.raw()) this.child(chunk, index * CHUNK_CHILDREN + place, record);
    this.index = -1;
  }

  private child(chunk: ActiveChunk, child: number, bytes: Uint8Array): void {
    const { core, array, account } = this;
    const record = decodeChild(bytes, chunk.texts);
    switch (record.kind) {
      case 'waiting':
        array.attempts[child] = record.attempt;
        return;
      case 'ended':
        array.attempts[child] = record.attempts;
        array.setState(child, record.state);
        chunk.ended.set(child, bytes);
        return;
      case 'placed': {
        const { row } = array;
        const { kind: _, node: name, ...placed } = record;
        const node = core.nodes.get(scoped(account, name));
        if (node === undefined) {
          const number = core.jobs.get('number', row);
          throw new Error(`child ${child} of job ${number} is placed on node "${name}", which is not there`);
        }
        array.attempts[child] = record.attempt;
        array.setState(child, record.startedAtMs === 0 ? JobState.starting : JobState.running);
        node.sequence = Math.max(node.sequence, record.sequence);
        const requirements = core.classes.requirements(core.jobs.get('class', row));
        const stopping = placed.stopping || core.jobs.has(row, JobFlag.terminateRequested);
        const stopReason = placed.stopReason || (stopping ? array.reason : '');
        const stopGraceSeconds = placed.stopGraceSeconds ?? array.stopGraceSeconds;
        addPlaced(core, { ...placed, row, child, node, requirements, stopping, stopReason, stopGraceSeconds });
      }
    }
  }
}
