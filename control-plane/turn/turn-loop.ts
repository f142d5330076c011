import { setTimeout as sleep } from 'node:timers/promises';
import type { Input, NewJob, Output, Replies, Reply } from '../core/types.ts';
import type { CoreView } from '../core/view.ts';
import type { Position, Store } from '../store/store.ts';
import { StoreError } from '../store/store.ts';
import { Arrivals, inputBytes, overloaded, type Waiting } from './arrivals.ts';
import { type Clock, systemClock } from './clock.ts';
import type { OpenedState, TakenTurn } from './turn-core.ts';
import {
  FULL_PATIENCE_MS,
  IDLE_TICK_MS,
  MAX_FAILED_CORES,
  MAX_REOPEN_TRIES,
  MAX_TURN_INPUTS,
  MAX_WAITING,
  RETRY_MAX_MS,
  RETRY_MIN_MS,
  SCHEDULE_BYTES,
  SLICE_MS,
  STEP_BUDGET,
  TURN_BYTES,
} from './turn-limits.ts';
import { TurnError, type Turns } from './turns.ts';

/** Told of every turn. What a listener throws is reported and changes nothing. */
export interface TurnListener {
  /** Jobs were put to the core, which answered so. Not durable yet. */
  submitted?(jobs: readonly NewJob[], replies: Replies['submitJobs']): void;
  /** Right after a turn was applied and before it is durable: rows that the outputs name are valid now. */
  applied?(outputs: readonly Output[], view: CoreView): void;
  /**
   * The turn is durable: its outputs may leave. In the order of the turns. `position` is where the store's history stands
   * with it; a turn that had nothing to write has the position of the one before.
   */
  released?(outputs: readonly Output[], view: CoreView, position: Position): void;
  /** What was applied and not released is void: a commit failed. A new core is being loaded. */
  lost?(): void;
  /** The new core stands. */
  rebuilt?(view: CoreView): void;
}

export interface TurnLoopOptions {
  /** Opens the store and loads the core from it: at the start, and again after a commit that failed. */
  readonly open: () => Promise<OpenedState>;
  /** Default: the system's. */
  readonly clock?: Clock;
  /** Told in a sentence what an operator should know. Default: ignored. */
  readonly onWarning?: (message: string, error?: unknown) => void;
  /** Default `IDLE_TICK_MS`. */
  readonly idleTickMs?: number;
}

/** What has been done since the start; `longestPassMs`: the longest that the event loop was held. */
export interface TurnStatistics {
  readonly turns: number;
  readonly commits: number;
  readonly inputs: number;
  readonly rebuilds: number;
  readonly longestPassMs: number;
}

/** A turn that is being applied, or is applied and not durable yet. */
interface Turn {
  readonly waiting: Waiting[];
  inputs: number;
}

/**
 * The turn loop. One turn is *open*: inputs are applied to it as they arrive. When nothing is in the store's hands, the
 * open turn is closed (scheduled, taken from the core) and handed over; while it is *in flight* the next one is open.
 *
 * The loop is
 * - *running*;
 * - *full*: the disk has no room for the turn in flight, which is offered again and again. Nothing new is taken. Back to
 *   running when the commit succeeds;
 * - *recovering*: a commit failed or the core threw. Everything that waited is rejected, the store is closed and opened
 *   anew and the core loaded from it. To running, or to stopped when that cannot be done;
 * - *closing*: takes nothing new, finishes what it has;
 * - *stopped*.
 */
export class TurnLoop implements Turns {
  /** Resolves when the loop has stopped: with the reason if nobody asked it to. */
  readonly stopped: Promise<Error | undefined>;

  readonly #options: TurnLoopOptions;
  readonly #clock: Clock;
  readonly #listeners = new Set<TurnListener>();
  readonly #arrivals = new Arrivals();
  readonly #tickTimer: NodeJS.Timeout;
  readonly #ending = new AbortController();
  readonly #stop: (reason: Error | undefined) => void;
  #mode: 'running' | 'full' | 'recovering' | 'closing' | 'stopped' = 'running';
  #state: OpenedState;
  #open: Turn | undefined;
  #inFlight: Turn | undefined;
  #passScheduled = false;
  /** Time is to pass although nothing has arrived, or the scheduler has more to do. */
  #turnDue = true;
  #lastElapsedMs: number;
  #lastWallMs = 0;
  #failedCores = 0;
  #statistics = { turns: 0, commits: 0, inputs: 0, rebuilds: 0, longestPassMs: 0 };

  /** Opens the store, loads the core and begins. Rejects as `open` does. */
  static async start(options: TurnLoopOptions): Promise<TurnLoop> {
    return new TurnLoop(options, await options.open());
  }

  private constructor(options: TurnLoopOptions, state: OpenedState) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#state = state;
    this.#lastElapsedMs = this.#clock.elapsedMs();
    const { promise, resolve } = Promise.withResolvers<Error | undefined>();
    this.stopped = promise;
    this.#stop = resolve;
    this.#tickTimer = setInterval(() => this.#requestTurn(), options.idleTickMs ?? IDLE_TICK_MS);
    this.#wake();
  }

  get view(): CoreView {
    return this.#state.core.view;
  }

  get store(): Store {
    return this.#state.store;
  }

  get statistics(): TurnStatistics {
    return { ...this.#statistics };
  }

  /** Returns the function that ends the listening. */
  listen(listener: TurnListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  apply<I extends Input>(input: I): Promise<Reply<I>> {
    return new Promise((resolve, reject) => {
      this.#requireRunning();
      this.#requireWhole(input);
      let reply: Reply<I>;
      this.#arrivals.add({
        bytes: inputBytes(input),
        apply: (core) => {
          reply = core.apply(input);
          if (input.kind === 'submitJobs') this.#tellSubmitted(input.jobs, reply as Replies['submitJobs']);
        },
        release: () => resolve(reply),
        reject,
      });
      this.#wake();
    });
  }

  read<T>(query: (view: CoreView) => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#requireRunning();
      const undurable = this.#open ?? this.#inFlight;
      if (undurable !== undefined && undurable.waiting.length >= MAX_WAITING) {
        throw overloaded(`${MAX_WAITING} requests wait for one turn`);
      }
      const answer = query(this.view);
      if (undurable === undefined) resolve(answer);
      else undurable.waiting.push({ release: () => resolve(answer), reject });
    });
  }

  /** Finishes what was accepted, then closes the store. Idempotent. */
  async close(): Promise<void> {
    if (this.#mode === 'running') {
      this.#mode = 'closing';
      this.#requestTurn();
    } else if (this.#mode === 'full' || this.#mode === 'recovering') {
      await this.#end(undefined);
    }
    await this.stopped;
  }

  #requireRunning(): void {
    switch (this.#mode) {
      case 'running':
        return;
      case 'full':
        throw new TurnError(
          'UNAVAILABLE',
          "the disk that holds the control plane's state is full. Nothing was done; make room and try again.",
        );
      case 'recovering':
        throw new TurnError(
          'UNAVAILABLE',
          "the control plane's state is being reopened after a failed write. Nothing was done; try again.",
        );
      case 'closing':
      case 'stopped':
        throw closedError();
    }
  }

  /** A store from which committed work is missing takes nothing but the operator's word that this is accepted. */
  #requireWhole(input: Input): void {
    if (this.store.integrity.kind === 'whole' || (input.kind === 'resume' && input.acceptLoss)) return;
    throw new TurnError(
      'UNAVAILABLE',
      'committed work is missing from the store, so it can only be read until an operator accepts the loss ' +
        '(`galley resume --accept-loss`). Nothing was done.',
    );
  }

  #requestTurn(): void {
    this.#turnDue = true;
    this.#wake();
  }

  #wake(): void {
    if (this.#passScheduled) return;
    this.#passScheduled = true;
    setImmediate(() => {
      this.#passScheduled = false;
      this.#pass();
    });
  }

  get #active(): boolean {
    return this.#mode === 'running' || this.#mode === 'closing';
  }

  /** Applies what has arrived to the open turn, for a slice of time, and hands the turn over if nothing is in flight. */
  #pass(): void {
    if (!this.#active) return;
    const startedMs = this.#clock.elapsedMs();
    try {
      this.#gather(startedMs + SLICE_MS);
      if (this.#inFlight === undefined && this.#open !== undefined) this.#handOver(this.#open);
    } catch (error) {
      this.#fail('the core failed', error);
      return;
    }
    const passMs = this.#clock.elapsedMs() - startedMs;
    if (passMs > this.#statistics.longestPassMs) this.#statistics.longestPassMs = passMs;
    // A turn in flight wakes the loop when it returns, unless the open one has room for what waits.
    if (this.#inFlight === undefined ? this.#turnDue || this.#arrivals.count > 0 : this.#hasRoom()) this.#wake();
    this.#finishClosing();
  }

  #hasRoom(): boolean {
    return this.#arrivals.count > 0 && !this.#isGathered();
  }

  #isGathered(): boolean {
    return (this.#open?.inputs ?? 0) >= MAX_TURN_INPUTS || this.#state.core.pendingBytes >= TURN_BYTES;
  }

  #gather(untilMs: number): void {
    if (this.#arrivals.count === 0 && !this.#turnDue) return;
    const turn = this.#open ?? this.#begin();
    const { core } = this.#state;
    while (!this.#isGathered()) {
      const arrival = this.#arrivals.next();
      if (arrival === undefined) return;
      turn.waiting.push(arrival);
      turn.inputs++;
      this.#statistics.inputs++;
      arrival.apply(core);
      if (this.#clock.elapsedMs() >= untilMs) return;
    }
  }

  #begin(): Turn {
    const turn: Turn = { waiting: [], inputs: 0 };
    this.#open = turn;
    this.#turnDue = false;
    const elapsed = this.#clock.elapsedMs();
    const elapsedMs = Math.max(0, Math.floor(elapsed - this.#lastElapsedMs));
    // The fraction of a millisecond that was cut off counts next time.
    this.#lastElapsedMs += elapsedMs;
    this.#lastWallMs = Math.max(this.#lastWallMs, Math.floor(this.#clock.wallMs()));
    // While the store takes nothing, nothing may expire either.
    const expiring = this.store.integrity.kind === 'whole' ? elapsedMs : 0;
    this.#state.core.apply({ kind: 'tick', wallMs: this.#lastWallMs, elapsedMs: expiring });
    return turn;
  }

  /** Closes the open turn and gives it to the store. */
  #handOver(turn: Turn): void {
    const { core } = this.#state;
    const more = core.pendingBytes >= SCHEDULE_BYTES || core.schedule(STEP_BUDGET);
    const taken = core.takeTurn();
    this.#open = undefined;
    this.#inFlight = turn;
    this.#statistics.turns++;
    if (more) this.#turnDue = true;
    this.#tell((listener) => listener.applied?.(taken.outputs, core.view));
    if (taken.changes.length === 0) {
      this.#release(turn, taken);
      return;
    }
    this.#statistics.commits++;
    this.#commit(turn, taken, RETRY_MIN_MS);
  }

  /** Offers the turn to the store until it is taken or refused for good. */
  #commit(turn: Turn, taken: TakenTurn, retryMs: number): void {
    const { store } = this.#state;
    store.commit(taken.position, taken.changes).then(
      () => {
        if (this.#state.store !== store || this.#mode === 'stopped') return;
        if (this.#mode === 'full') {
          this.#mode = 'running';
          this.#warn('the disk has room again: the control plane goes on');
        }
        this.#release(turn, taken);
        this.#pass();
      },
      (error: unknown) => {
        if (this.#state.store !== store || this.#mode === 'stopped') return;
        if (error instanceof StoreError && error.code === 'FULL') this.#awaitRoom(turn, taken, retryMs, error);
        else this.#fail('a write to the store failed', error);
      },
    );
  }

  #awaitRoom(turn: Turn, taken: TakenTurn, retryMs: number, error: StoreError): void {
    if (this.#mode === 'closing') {
      void this.#end(error);
      return;
    }
    if (this.#mode === 'running') {
      this.#mode = 'full';
      this.#warn(error.message);
      const patience = setTimeout(() => {
        if (this.#mode === 'full') this.#rejectWaiting("the disk that holds the control plane's state is full");
      }, FULL_PATIENCE_MS);
      patience.unref();
    }
    sleep(retryMs, undefined, { signal: this.#ending.signal }).then(
      () => {
        if (this.#mode === 'full') this.#commit(turn, taken, Math.min(2 * retryMs, RETRY_MAX_MS));
      },
      () => undefined,
    );
  }

  #release(turn: Turn, taken: TakenTurn): void {
    const { core, store } = this.#state;
    const position = taken.changes.length === 0 ? store.position : taken.position;
    this.#inFlight = undefined;
    this.#failedCores = 0;
    for (const waiting of turn.waiting) waiting.release();
    this.#tell((listener) => listener.released?.(taken.outputs, core.view, position));
    try {
      core.turnDurable(taken.turn);
    } catch (error) {
      this.#fail('the core failed', error);
    }
  }

  #fail(what: string, error: unknown): void {
    if (this.#mode === 'recovering' || this.#mode === 'stopped') return;
    this.#warn(`${what}: everything that waits is rejected, and the state is loaded again from disk`, error);
    const closing = this.#mode === 'closing';
    this.#mode = 'recovering';
    this.#failedCores++;
    this.#rejectWaiting(what);
    this.#open = undefined;
    this.#inFlight = undefined;
    this.#tell((listener) => listener.lost?.());
    if (closing) void this.#end(undefined);
    else if (this.#failedCores > MAX_FAILED_CORES)
      void this.#end(new Error(`${what} again and again`, { cause: error }));
    else void this.#recover();
  }

  async #recover(): Promise<void> {
    let retryMs = RETRY_MIN_MS;
    for (let tries = 1; this.#mode === 'recovering'; tries++) {
      try {
        await this.#state.store.close();
        const state = await this.#options.open();
        if (this.#mode !== 'recovering') {
          await state.store.close();
          return;
        }
        this.#state = state;
        break;
      } catch (error) {
        this.#warn(`the store cannot be opened again (try ${tries})`, error);
        const hopeless = error instanceof StoreError ? error.code !== 'FULL' : tries >= MAX_REOPEN_TRIES;
        if (hopeless) {
          await this.#end(error instanceof Error ? error : new Error(String(error)));
          return;
        }
      }
      await sleep(retryMs, undefined, { signal: this.#ending.signal }).catch(() => undefined);
      retryMs = Math.min(2 * retryMs, RETRY_MAX_MS);
    }
    if (this.#mode !== 'recovering') return;
    this.#mode = 'running';
    this.#statistics.rebuilds++;
    this.#warn('the state is loaded again');
    this.#tell((listener) => listener.rebuilt?.(this.view));
    this.#requestTurn();
  }

  /** Applied inputs may be on disk or not; those that still waited for their turn surely are not. */
  #rejectWaiting(what: string): void {
    const unknown = new TurnError(
      'OUTCOME_UNKNOWN',
      `${what}: whether this request was carried out is unknown. Ask again with the same id.`,
    );
    for (const turn of [this.#inFlight, this.#open]) {
      for (const waiting of turn?.waiting.splice(0) ?? []) waiting.reject(unknown);
    }
    this.#rejectArrivals(new TurnError('UNAVAILABLE', `${what}. Nothing was done; try again.`));
  }

  #rejectArrivals(error: TurnError): void {
    for (const arrival of this.#arrivals.takeAll()) arrival.reject(error);
  }

  #finishClosing(): void {
    if (this.#mode !== 'closing') return;
    if (this.#inFlight === undefined && this.#open === undefined && this.#arrivals.count === 0)
      void this.#end(undefined);
  }

  async #end(reason: Error | undefined): Promise<void> {
    if (this.#mode === 'stopped') return;
    this.#mode = 'stopped';
    clearInterval(this.#tickTimer);
    this.#ending.abort();
    this.#rejectWaiting('the control plane stops');
    try {
      await this.#state.store.close();
    } catch (error) {
      this.#warn('the store could not be closed', error);
    }
    this.#stop(reason);
  }

  #tellSubmitted(jobs: readonly NewJob[], replies: Replies['submitJobs']): void {
    this.#tell((listener) => listener.submitted?.(jobs, replies));
  }

  #tell(call: (listener: TurnListener) => void): void {
    for (const listener of this.#listeners) {
      try {
        call(listener);
      } catch (error) {
        this.#warn('a listener of the turn loop failed', error);
      }
    }
  }

  #warn(message: string, error?: unknown): void {
    this.#options.onWarning?.(message, error);
  }
}

function closedError(): TurnError {
  return new TurnError('CLOSED', 'the control plane is stopping. Nothing was done; try again when it is back.');
}
