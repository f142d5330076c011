import type { Output } from '../core/types.ts';
import type { CoreView, LiveJob } from '../core/view.ts';
import { comparePositions, describePosition } from '../store/position.ts';
import type { Position } from '../store/store.ts';
import { overloaded } from './arrivals.ts';
import { type Clock, systemClock } from './clock.ts';
import { EventRing, type EventRingLimits, type StateEvent, type TurnEvents } from './event-ring.ts';
import type { TurnLoop } from './turn-loop.ts';
import { TurnError } from './turns.ts';

/** What can be resumed: events of the last 15 minutes, at most 200,000 of them and about 48 MiB of memory. */
export const EVENT_RING_LIMITS: EventRingLimits = { ageMs: 15 * 60_000, events: 200_000, bytes: 48 * 1024 * 1024 };

/** Subscriptions at once. */
export const MAX_SUBSCRIPTIONS = 1_000;

export interface EventLogOptions {
  /** Default `EVENT_RING_LIMITS`. */
  readonly limits?: EventRingLimits;
  /** Default: the system's. */
  readonly clock?: Clock;
}

/** Some reader's place among the events. */
export interface EventSubscription extends AsyncIterable<TurnEvents> {
  /** The iteration gives what comes after this. */
  readonly position: Position;
}

/**
 * Tells what changed its state, turn by turn, in order and only once it is durable. Remembered in memory and within
 * limits, so that a reader who lost the connection can go on behind a position; a restart of the control plane forgets.
 *
 * A reader asks for what he has room for. One who is slower than the limits allow has his iteration end with `EXPIRED`, as
 * has one whose position is too old, of another epoch, or before this control plane's start.
 */
export class EventLog {
  readonly #loop: TurnLoop;
  readonly #clock: Clock;
  readonly #ring: EventRing;
  /** What was captured when a turn was applied, until it is released. */
  readonly #captured = new WeakMap<readonly Output[], Pick<TurnEvents, 'atMs' | 'events'>>();
  readonly #wakes = new Set<() => void>();
  /** Where the store's history stands with the turns released so far. */
  #position: Position;
  #subscriptions = 0;
  #closed = false;

  constructor(loop: TurnLoop, options: EventLogOptions = {}) {
    this.#loop = loop;
    this.#clock = options.clock ?? systemClock;
    this.#position = loop.store.position;
    this.#ring = new EventRing(options.limits ?? EVENT_RING_LIMITS, this.#position);
    loop.listen({
      applied: (outputs, view) => this.#capture(outputs, view),
      released: (outputs, _view, position) => this.#release(outputs, position),
      rebuilt: () => this.#resume(),
    });
    void loop.stopped.then(() => {
      this.#closed = true;
      this.#wakeAll();
    });
  }

  /**
   * Begins behind `after`, or now. Throws `EXPIRED`, whose sentence says how to begin anew, and `OVERLOADED` when there are
   * `MAX_SUBSCRIPTIONS` already. The iteration ends when `signal` is aborted, and throws `CLOSED` when the loop stops.
   */
  subscribe(after: Position | undefined, signal: AbortSignal): EventSubscription {
    const place = after === undefined ? this.#ring.end : this.#placeAfter(after);
    if (this.#subscriptions >= MAX_SUBSCRIPTIONS) {
      throw overloaded(`${MAX_SUBSCRIPTIONS} subscriptions to events are open already`);
    }
    return { position: after ?? this.#position, [Symbol.asyncIterator]: () => this.#read(place, signal) };
  }

  #placeAfter(after: Position): number {
    const now = this.#position;
    const place = comparePositions(after, now) > 0 ? undefined : this.#ring.placeAfter(after);
    if (place !== undefined) return place;
    if (after.epoch !== now.epoch) throw expired(`${describePosition(after)} is of another epoch than ${now.epoch}`);
    if (after.sequence > now.sequence) throw expired(`${describePosition(after)} is beyond ${describePosition(now)}`);
    throw expired(
      `events after ${describePosition(after)} are not remembered any more, or are from before this control plane's start`,
    );
  }

  async *#read(from: number, signal: AbortSignal): AsyncGenerator<TurnEvents, void, undefined> {
    let wake: (() => void) | undefined;
    const wakeUp = () => wake?.();
    signal.addEventListener('abort', wakeUp);
    this.#wakes.add(wakeUp);
    this.#subscriptions++;
    try {
      for (let place = from; !signal.aborted; ) {
        const turn = this.#ring.at(place);
        if (turn !== undefined) {
          place++;
          yield turn;
        } else if (this.#ring.isDropped(place)) {
          throw expired('this subscription fell behind what is remembered');
        } else if (this.#closed) {
          throw new TurnError('CLOSED', 'the control plane is stopping; subscribe again when it is back');
        } else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    } finally {
      this.#subscriptions--;
      this.#wakes.delete(wakeUp);
      signal.removeEventListener('abort', wakeUp);
    }
  }

  #capture(outputs: readonly Output[], view: CoreView): void {
    const events: StateEvent[] = [];
    const jobs = new Map<number, LiveJob | undefined>();
    for (const output of outputs) {
      if (output.kind === 'jobChanged') {
        const { number, account, queue, from, to } = output;
        // An array says that its children changed: no event of its own.
        if (from === to) continue;
        if (!jobs.has(number)) jobs.set(number, view.jobByNumber(number));
        events.push({ kind: 'job', number, account, queue, from, to, job: jobs.get(number) });
      } else if (output.kind === 'nodeChanged') {
        const { account, node, from, to, reason } = output;
        events.push({ kind: 'node', account, node, from, to, reason });
      }
    }
    this.#captured.set(outputs, { atMs: view.wallMs, events });
  }

  #release(outputs: readonly Output[], position: Position): void {
    const before = this.#position;
    this.#position = position;
    const captured = this.#captured.get(outputs);
    // Another epoch begins, or the turn was applied before this log began to listen.
    if (position.epoch !== before.epoch || captured === undefined) this.#startOver(position);
    else if (captured.events.length > 0) {
      const wrote = comparePositions(position, before) > 0;
      this.#ring.add({ position, wrote, ...captured }, this.#clock.elapsedMs());
      this.#wakeAll();
    }
  }

  /** After a failed commit: what was applied may be on disk although it was never released. */
  #resume(): void {
    const { position } = this.#loop.store;
    if (comparePositions(position, this.#position) !== 0) this.#startOver(position);
  }

  #startOver(position: Position): void {
    this.#position = position;
    this.#ring.clear(position);
    this.#wakeAll();
  }

  #wakeAll(): void {
    for (const wake of this.#wakes) wake();
  }
}

/** Read before the list, so that nothing falls between the two; what is then told twice does no harm. */
const RESYNC = 'read the position (GetClusterStatus), list what you need, then subscribe after that position';

function expired(what: string): TurnError {
  return new TurnError('EXPIRED', `${what}: ${RESYNC}`);
}
