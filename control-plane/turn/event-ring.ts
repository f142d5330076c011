import type { JobChanged, NodeChanged } from '../core/types.ts';
import type { LiveJob } from '../core/view.ts';
import { comparePositions } from '../store/position.ts';
import type { Position } from '../store/store.ts';

/** A job changed its state. `job` is as its turn left it; undefined where it is over, and then its record is in the store. */
export interface JobEvent extends Pick<JobChanged, 'number' | 'account' | 'queue' | 'from' | 'to'> {
  readonly kind: 'job';
  readonly job: LiveJob | undefined;
}

export interface NodeEvent extends Pick<NodeChanged, 'account' | 'node' | 'from' | 'to' | 'reason'> {
  readonly kind: 'node';
}

export type StateEvent = JobEvent | NodeEvent;

/** What changed its state in one turn. */
export interface TurnEvents {
  /** Of the turn; a turn that wrote nothing has the position of the one before. */
  readonly position: Position;
  readonly wrote: boolean;
  readonly atMs: number;
  readonly events: readonly StateEvent[];
}

/** How much is remembered: whichever is reached first. */
export interface EventRingLimits {
  readonly ageMs: number;
  readonly events: number;
  readonly bytes: number;
}

/** Memory of one event, about: its turn's share, the event, and the job as it stood. */
const EVENT_BYTES = 120;
const LIVE_JOB_BYTES = 400;

interface Entry extends TurnEvents {
  readonly addedElapsedMs: number;
  readonly bytes: number;
}

/**
 * The last turns that changed anything, oldest first. Readers hold a place in it: the number of an entry, counted from the
 * first one ever. A place that has been dropped is `undefined` to ask for, so a slow reader costs nothing and is found out.
 */
export class EventRing {
  readonly #limits: EventRingLimits;
  #entries: Entry[] = [];
  /** Entries before this one are dropped; they are cut off now and then. */
  #head = 0;
  /** Number of `#entries[0]`. */
  #base = 0;
  #events = 0;
  #bytes = 0;
  #floor: Position;
  /** A turn that wrote nothing was dropped: whoever stands at the floor may have missed it. */
  #floorIsPartial = false;

  /** What happened up to `floor` is not remembered. */
  constructor(limits: EventRingLimits, floor: Position) {
    this.#limits = limits;
    this.#floor = floor;
  }

  /** The place behind the newest entry. */
  get end(): number {
    return this.#base + this.#entries.length;
  }

  add(turn: TurnEvents, elapsedMs: number): void {
    const bytes = turn.events.reduce((sum, event) => sum + bytesOf(event), 0);
    this.#entries.push({ ...turn, addedElapsedMs: elapsedMs, bytes });
    this.#events += turn.events.length;
    this.#bytes += bytes;
    this.#trim(elapsedMs);
  }

  /** Forgets everything, and every place that a reader held is dropped. From `floor` on it is complete again. */
  clear(floor: Position): void {
    this.#base = this.end + 1;
    this.#entries = [];
    this.#head = 0;
    this.#events = 0;
    this.#bytes = 0;
    this.#floor = floor;
    this.#floorIsPartial = false;
  }

  /** Undefined when the place has been dropped, or nothing stands there yet. */
  at(place: number): TurnEvents | undefined {
    return place - this.#base < this.#head ? undefined : this.#entries[place - this.#base];
  }

  isDropped(place: number): boolean {
    return place < this.#base + this.#head;
  }

  /**
   * The place of the first entry after `position`; undefined when something after it has been dropped. Turns that wrote
   * nothing share a position, and a reader may have seen only some of them: those are given again.
   */
  placeAfter(position: Position): number | undefined {
    const aboveFloor = comparePositions(position, this.#floor);
    if (aboveFloor < 0 || (aboveFloor === 0 && this.#floorIsPartial)) return undefined;
    let low = this.#head;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const entry = this.#entries[middle] as Entry;
      if (comparePositions(entry.position, position) < 0) low = middle + 1;
      else high = middle;
    }
    const first = this.#entries[low];
    if (first?.wrote === true && comparePositions(first.position, position) === 0) low += 1;
    return this.#base + low;
  }

  #trim(elapsedMs: number): void {
    const { ageMs, events, bytes } = this.#limits;
    // A single turn that is larger than everything stays until the next: whoever listens has not missed it.
    while (this.#head < this.#entries.length - 1) {
      const oldest = this.#entries[this.#head] as Entry;
      if (this.#events <= events && this.#bytes <= bytes && elapsedMs - oldest.addedElapsedMs <= ageMs) break;
      this.#head += 1;
      this.#events -= oldest.events.length;
      this.#bytes -= oldest.bytes;
      this.#floor = oldest.position;
      this.#floorIsPartial = !oldest.wrote;
    }
    if (this.#head * 2 < this.#entries.length) return;
    this.#entries = this.#entries.slice(this.#head);
    this.#base += this.#head;
    this.#head = 0;
  }
}

function bytesOf(event: StateEvent): number {
  return event.kind === 'job' && event.job !== undefined ? EVENT_BYTES + LIVE_JOB_BYTES : EVENT_BYTES;
}
