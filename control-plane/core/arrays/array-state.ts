import { CHUNK_CHILDREN, ChunkTexts } from '../records/array-chunk.ts';
import type { Placed } from '../state.ts';
import { isTerminal, JobState, type NewArray } from '../types.ts';
import { RangeSet } from './range-set.ts';
import { ReadySet } from './ready-set.ts';

/** Every state of `JobState`, and 0: not settled yet. */
const STATES = 8;

/**
 * A chunk of children some of whom differ: what they hold, and what is to be written of them. It exists from the first
 * placement until all children of the chunk are over and written; then only the disk knows the details.
 */
export class ActiveChunk {
  readonly texts: ChunkTexts;
  /** By child. */
  readonly placed = new Map<number, Placed>();
  /** Records of ended children, by child, until the chunk is folded for the last time. */
  readonly ended = new EndedRecords();
  /** Children whose record changed in this turn. */
  readonly dirty = new Set<number>();
  /** Deltas on disk: from `firstDelta` up to, not including, `nextDelta`. */
  firstDelta: number;
  nextDelta: number;

  constructor(texts = new ChunkTexts(), firstDelta = 0, nextDelta = 0) {
    this.texts = texts;
    this.firstDelta = firstDelta;
    this.nextDelta = nextDelta;
  }
}

/** Records of a chunk's ended children in one piece of memory: an object each would cost five times their size. */
class EndedRecords {
  private bytes = new Uint8Array(1024);
  private used = 0;
  /** By place: where the record begins, less 1; 0: there is none. */
  private readonly starts = new Uint32Array(CHUNK_CHILDREN);
  private readonly lengths = new Uint16Array(CHUNK_CHILDREN);

  /** Their bytes. */
  get size(): number {
    return this.used;
  }

  set(child: number, record: Uint8Array): void {
    if (this.used + record.length > this.bytes.length) {
      const larger = new Uint8Array((this.used + record.length) * 2);
      larger.set(this.bytes);
      this.bytes = larger;
    }
    this.bytes.set(record, this.used);
    this.starts[child % CHUNK_CHILDREN] = this.used + 1;
    this.lengths[child % CHUNK_CHILDREN] = record.length;
    this.used += record.length;
  }

  get(child: number): Uint8Array | undefined {
    const start = this.starts[child % CHUNK_CHILDREN] as number;
    if (start === 0) return undefined;
    return this.bytes.subarray(start - 1, start - 1 + (this.lengths[child % CHUNK_CHILDREN] as number));
  }
}

/** Children that ended together without having been placed: cancelled, given up, never begun. */
export interface RangeEnd {
  readonly children: RangeSet;
  readonly atMs: number;
}

/** Another array that waits for this one child by child. */
export interface Follower {
  readonly row: number;
  readonly generation: number;
}

/**
 * The children of one array (DESIGN D5): a byte of state and a count of attempts each. Whatever else is known of a child
 * stands in its chunk while it is placed, and on disk when it is over.
 */
export class ArrayState {
  readonly row: number;
  readonly rules: NewArray;
  readonly states: Uint8Array;
  /** Attempts begun. */
  readonly attempts: Uint16Array;
  readonly ready: ReadySet;
  /** Children by state. */
  readonly counts: number[] = Array.from({ length: STATES }, () => 0);
  readonly chunks: (ActiveChunk | undefined)[];
  /** Children of each chunk that are not over. */
  readonly open: Uint16Array;
  /** Per child what it waits for alone: its predecessor, its counterparts in other arrays. Undefined: nothing, ever. */
  waitsFor: Uint16Array | undefined;
  readonly followers: Follower[] = [];
  /** Ends of children that followers have not been told yet. */
  untold = 0;
  /** Chunks with something to write. */
  readonly dirtyChunks = new Set<number>();
  rangeEnds = 0;
  /** The first child that failed, and how many of the canaries succeeded. */
  firstFailed = Number.POSITIVE_INFINITY;
  canariesSucceeded = 0;
  /** The children behind the canaries have been let go. */
  canariesPassed = false;
  /** What no child that waits may pass any more: nothing is placed or tried again. `reason` is the parent's, where it has one. */
  closed = false;
  reason = '';
  /** While it is being opened: children whose counterpart has failed. */
  doomed: ((child: number) => boolean) | undefined;
  stopGraceSeconds: number | undefined;
  changedAtMs: number;

  constructor(row: number, rules: NewArray, wallMs: number) {
    const { size } = rules;
    const chunks = Math.ceil(size / CHUNK_CHILDREN);
    this.row = row;
    this.rules = rules;
    this.states = new Uint8Array(size);
    this.attempts = new Uint16Array(size);
    this.ready = new ReadySet(size);
    this.chunks = Array.from({ length: chunks }, () => undefined);
    this.open = new Uint16Array(chunks).fill(CHUNK_CHILDREN);
    this.open[chunks - 1] = size - (chunks - 1) * CHUNK_CHILDREN;
    this.waitsFor = rules.sequential ? new Uint16Array(size) : undefined;
    this.counts[0] = size;
    this.changedAtMs = wallMs;
  }

  get size(): number {
    return this.rules.size;
  }

  state(child: number): JobState {
    return this.states[child] as JobState;
  }

  /** Children on nodes. */
  get active(): number {
    return (this.counts[JobState.starting] as number) + (this.counts[JobState.running] as number);
  }

  get over(): boolean {
    return (this.counts[JobState.succeeded] as number) + (this.counts[JobState.failed] as number) === this.size;
  }

  /** Whether the children behind the canaries still wait for them. */
  get onlyCanaries(): boolean {
    return this.canariesSucceeded < Math.min(this.rules.canary, this.size);
  }

  /** Whether a child may be placed now. */
  get drawable(): boolean {
    const { concurrency } = this.rules;
    return this.ready.count > 0 && (concurrency === 0 || this.active < concurrency);
  }

  chunk(child: number): ActiveChunk {
    const index = Math.floor(child / CHUNK_CHILDREN);
    this.chunks[index] ??= new ActiveChunk();
    return this.chunks[index];
  }

  placed(child: number): Placed | undefined {
    return this.chunks[Math.floor(child / CHUNK_CHILDREN)]?.placed.get(child);
  }

  *allPlaced(): Generator<Placed> {
    if (this.active === 0) return;
    for (const chunk of this.chunks) if (chunk !== undefined) yield* chunk.placed.values();
  }

  /** Of the children that wait, those below `bound` that wait for nothing of their own may be placed, and no others. */
  settle(bound: number): void {
    const { states, ready, waitsFor, size } = this;
    if (waitsFor === undefined && this.counts[0] === size) {
      const runnable = Math.min(bound, size);
      states.fill(JobState.runnable, 0, runnable).fill(JobState.pending, runnable);
      ready.fillBelow(runnable);
      this.counts[0] = 0;
      this.counts[JobState.runnable] = runnable;
      this.counts[JobState.pending] = size - runnable;
      return;
    }
    const moved = Array.from({ length: STATES }, () => 0);
    for (let child = 0; child < size; child++) {
      const from = states[child] as number;
      if (from > JobState.runnable) continue;
      const to =
        child < bound && (waitsFor === undefined || waitsFor[child] === 0) ? JobState.runnable : JobState.pending;
      if (from === to) continue;
      states[child] = to;
      if (to === JobState.runnable) ready.add(child);
      else ready.remove(child);
      moved[from] = (moved[from] as number) - 1;
      moved[to] = (moved[to] as number) + 1;
    }
    this.addCounts(moved);
  }

  /** Fails every child that waits and is `among` these (absent: every one); which ones that were. */
  failWaiting(among?: (child: number) => boolean): RangeSet {
    const { states, size } = this;
    const starts: number[] = [];
    const ends: number[] = [];
    const moved = Array.from({ length: STATES }, () => 0);
    let inside = false;
    for (let chunk = 0; chunk < this.open.length; chunk++) {
      const last = Math.min(size, (chunk + 1) * CHUNK_CHILDREN);
      let failed = 0;
      for (let child = chunk * CHUNK_CHILDREN; child < last; child++) {
        const from = states[child] as number;
        const fails = from <= JobState.runnable && (among === undefined || among(child));
        if (fails !== inside) (fails ? starts : ends).push(child);
        inside = fails;
        if (!fails) continue;
        states[child] = JobState.failed;
        if (among !== undefined) this.ready.remove(child);
        moved[from] = (moved[from] as number) - 1;
        failed += 1;
      }
      this.open[chunk] = (this.open[chunk] as number) - failed;
      moved[JobState.failed] = (moved[JobState.failed] as number) + failed;
    }
    if (inside) ends.push(size);
    if (among === undefined) this.ready.clear();
    this.addCounts(moved);
    this.firstFailed = Math.min(this.firstFailed, starts[0] ?? Number.POSITIVE_INFINITY);
    return RangeSet.of(starts, ends);
  }

  private addCounts(moved: readonly number[]): void {
    for (const [state, by] of moved.entries()) this.counts[state] = (this.counts[state] as number) + by;
  }

  /** Moves a child's counts; who calls sees to everything else. */
  setState(child: number, to: JobState): void {
    const from = this.states[child] as number;
    this.states[child] = to;
    this.counts[from] = (this.counts[from] as number) - 1;
    this.counts[to] = (this.counts[to] as number) + 1;
    if (to === JobState.succeeded && child < this.rules.canary) this.canariesSucceeded += 1;
    if (to === JobState.failed) this.firstFailed = Math.min(this.firstFailed, child);
    if (!isTerminal(to)) return;
    const chunk = Math.floor(child / CHUNK_CHILDREN);
    this.open[chunk] = (this.open[chunk] as number) - 1;
  }
}
