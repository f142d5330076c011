import { isTerminal, type JobIdBytes, type Output } from '../core/types.ts';
import type { CoreView, LiveJob } from '../core/view.ts';
import { overloaded } from './arrivals.ts';
import type { TurnLoop } from './turn-loop.ts';
import { TurnError } from './turns.ts';

/** Watches at once, and jobs that they watch together. */
export const MAX_WATCHES = 10_000;
export const MAX_WATCHED_JOBS = 500_000;

/** What became of a watched job. After `ended` its record is in the store, and nothing more is heard of it. */
export type WatchEvent =
  | { readonly kind: 'live'; readonly job: LiveJob }
  | { readonly kind: 'ended'; readonly number: number; readonly id: JobIdBytes };

/**
 * Some jobs under watch. A slow reader misses no end and no latest state: what was not read yet of a job is replaced by
 * what is newer, so that nothing piles up.
 */
export interface JobWatch extends AsyncIterable<readonly WatchEvent[]> {
  /** The jobs as they stood, durably, when the watch began. */
  readonly live: readonly LiveJob[];
  /** Ids that no live job has: such a job is over, and then its record is in the store, or it never was. */
  readonly absent: readonly JobIdBytes[];
  /** Ends the watch and its iteration. Idempotent. */
  close(): void;
}

/**
 * Tells what becomes of jobs, in order and only once it is durable. A watch whose iteration throws `UNAVAILABLE` was cut
 * off by a store that failed: watch again.
 */
export class JobWatcher {
  readonly #loop: TurnLoop;
  readonly #byNumber = new Map<number, Set<Watch>>();
  readonly #watches = new Set<Watch>();
  /** What was captured when a turn was applied, until it is released. */
  readonly #captured = new WeakMap<readonly Output[], WatchEvent[]>();
  #watchedJobs = 0;

  constructor(loop: TurnLoop) {
    this.#loop = loop;
    loop.listen({
      applied: (outputs, view) => this.#capture(outputs, view),
      released: (outputs) => this.#deliver(outputs),
      lost: () => this.#failAll(new TurnError('UNAVAILABLE', 'the watch was cut off by a failed write; watch again')),
    });
    void loop.stopped.then(() => this.#failAll(new TurnError('CLOSED', 'the control plane is stopping')));
  }

  /**
   * Begins to watch. Each round of the iteration gives the jobs that changed since the one before; it ends when every job
   * has ended, when the watch is closed or when `signal` is aborted. Rejects with `OVERLOADED` when too much is watched.
   */
  async watch(ids: readonly JobIdBytes[], signal?: AbortSignal): Promise<JobWatch> {
    let watch: Watch | undefined;
    try {
      await this.#loop.read((view) => {
        watch = this.#begin(ids, view);
      });
    } catch (error) {
      watch?.close();
      throw error;
    }
    if (watch === undefined) throw new Error('the query was not asked');
    if (signal !== undefined) {
      const { close } = watch;
      if (signal.aborted) close();
      else signal.addEventListener('abort', close, { once: true });
    }
    return watch;
  }

  #begin(ids: readonly JobIdBytes[], view: CoreView): Watch {
    if (this.#watches.size >= MAX_WATCHES) throw overloaded(`${MAX_WATCHES} watches are open already`);
    if (this.#watchedJobs + ids.length > MAX_WATCHED_JOBS) {
      throw overloaded(`${this.#watchedJobs} jobs are watched already, and at most ${MAX_WATCHED_JOBS} may be`);
    }
    const found = new Map<number, LiveJob>();
    const absent: JobIdBytes[] = [];
    for (const id of ids) {
      const job = view.job(id);
      if (job === undefined || isTerminal(job.state)) absent.push(id);
      else found.set(job.number, job);
    }
    const watch = new Watch([...found.values()], absent, (number) => this.#forget(watch, number));
    this.#watches.add(watch);
    for (const number of found.keys()) {
      const watchers = this.#byNumber.get(number);
      if (watchers === undefined) this.#byNumber.set(number, new Set([watch]));
      else watchers.add(watch);
    }
    this.#watchedJobs += found.size;
    return watch;
  }

  /** A watch has heard the last of one job, or, without a number, of all. */
  #forget(watch: Watch, number: number | undefined): void {
    if (number === undefined) {
      this.#watches.delete(watch);
      return;
    }
    const watchers = this.#byNumber.get(number);
    if (watchers?.delete(watch) !== true) return;
    this.#watchedJobs--;
    if (watchers.size === 0) this.#byNumber.delete(number);
  }

  #capture(outputs: readonly Output[], view: CoreView): void {
    if (this.#byNumber.size === 0) return;
    const last = new Map<number, boolean>();
    for (const output of outputs) {
      if (output.kind === 'jobChanged' && this.#byNumber.has(output.number)) {
        last.set(output.number, isTerminal(output.to));
      }
    }
    if (last.size === 0) return;
    const events: WatchEvent[] = [];
    for (const [number, ended] of last) {
      const job = ended ? undefined : view.jobByNumber(number);
      if (job !== undefined) events.push({ kind: 'live', job });
      else events.push({ kind: 'ended', number, id: this.#idOf(number) });
    }
    this.#captured.set(outputs, events);
  }

  #idOf(number: number): JobIdBytes {
    for (const watch of this.#byNumber.get(number) ?? []) return watch.idOf(number);
    throw new Error(`job ${number} is not watched`);
  }

  #deliver(outputs: readonly Output[]): void {
    for (const event of this.#captured.get(outputs) ?? []) {
      const number = event.kind === 'live' ? event.job.number : event.number;
      for (const watch of this.#byNumber.get(number) ?? []) watch.deliver(number, event);
    }
  }

  #failAll(error: TurnError): void {
    for (const watch of [...this.#watches]) watch.fail(error);
  }
}

class Watch implements JobWatch {
  readonly live: readonly LiveJob[];
  readonly absent: readonly JobIdBytes[];
  readonly #forget: (number: number | undefined) => void;
  /** Ids of the jobs that are still watched. */
  readonly #open = new Map<number, JobIdBytes>();
  /** Not read yet, by job number, oldest first. */
  #pending = new Map<number, WatchEvent>();
  #wake: (() => void) | undefined;
  #error: Error | undefined;
  #closed = false;

  constructor(live: readonly LiveJob[], absent: readonly JobIdBytes[], forget: (number: number | undefined) => void) {
    this.live = live;
    this.absent = absent;
    this.#forget = forget;
    for (const job of live) this.#open.set(job.number, job.id);
  }

  idOf(number: number): JobIdBytes {
    const id = this.#open.get(number);
    if (id === undefined) throw new Error(`job ${number} is not watched`);
    return id;
  }

  deliver(number: number, event: WatchEvent): void {
    this.#pending.delete(number);
    this.#pending.set(number, event);
    if (event.kind === 'ended') {
      this.#open.delete(number);
      this.#forget(number);
    }
    this.#wake?.();
  }

  fail(error: Error): void {
    this.#error = error;
    this.close();
  }

  // Bound, so that it can stand as a listener.
  readonly close = (): void => {
    if (this.#closed) return;
    this.#closed = true;
    for (const number of this.#open.keys()) this.#forget(number);
    this.#open.clear();
    this.#forget(undefined);
    this.#wake?.();
  };

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly WatchEvent[], void, undefined> {
    try {
      for (;;) {
        if (this.#pending.size > 0 && this.#error === undefined) {
          const events = [...this.#pending.values()];
          this.#pending = new Map();
          yield events;
        } else if (this.#closed || this.#open.size === 0) {
          if (this.#error !== undefined) throw this.#error;
          return;
        } else {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
          this.#wake = undefined;
        }
      }
    } finally {
      this.close();
    }
  }
}
