import { setTimeout as sleep } from 'node:timers/promises';
import {
  arrayRange,
  attemptKey,
  CLUSTER_KEY,
  type ClusterRecord,
  decodeEndedJob,
  decodeRecord,
  endedJobKey,
  historyTimeKey,
  jobIdIndexKey,
  specKey,
  tableRange,
} from '../core/records/index.ts';
import type { EndedJob } from '../core/view.ts';
import { DEFAULT_RETENTION_MS as LOG_RETENTION_MS, type LogStore } from '../logs/log-store.ts';
import { TurnError, type Turns } from '../turn/turns.ts';

const DAY_MS = 24 * 3600 * 1000;

/** How long things are kept after the end of a job, in ms. */
export interface RetentionTimes {
  /** Job, attempts and what was submitted. */
  readonly jobsMs: number;
  /** Accounting records. */
  readonly historyMs: number;
  readonly logsMs: number;
}

export const RETENTION: RetentionTimes = { jobsMs: 7 * DAY_MS, historyMs: 730 * DAY_MS, logsMs: LOG_RETENTION_MS };

/** Between two rounds, in ms. */
const ROUND_MS = 10 * 60_000;

/** Keys of one input: a small part of a turn, so that jobs hardly notice. */
const SLICE_KEYS = 500;

/** Between two slices, in ms. */
const SLICE_PAUSE_MS = 20;

export interface RetentionParts {
  readonly turns: Turns;
  readonly logs: LogStore;
  readonly times?: RetentionTimes;
  readonly wallMs?: () => number;
  readonly onWarning?: (message: string, error: unknown) => void;
}

/** Drops what is past its retention, in the background and in small slices. */
export class Retention {
  readonly #parts: RetentionParts;
  readonly #times: RetentionTimes;
  readonly #closing = new AbortController();

  constructor(parts: RetentionParts) {
    this.#parts = parts;
    this.#times = parts.times ?? RETENTION;
  }

  /** Rounds until `close`. */
  async run(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      try {
        await this.round();
      } catch (error) {
        // A store that is being reopened is asked again next time.
        if (!signal.aborted && !(error instanceof TurnError)) this.#parts.onWarning?.('retention failed', error);
      }
      await sleep(ROUND_MS, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  close(): void {
    this.#closing.abort();
  }

  /** Drops everything that is past its time now. Rejects when the store or the log store do. */
  async round(): Promise<void> {
    const now = this.#parts.wallMs?.() ?? Date.now();
    for (const account of await this.#accounts()) {
      await this.#expire(this.#endedJobs(account, now - this.#times.jobsMs));
      await this.#expire(this.#history(account, now - this.#times.historyMs));
    }
    while (!this.#closing.signal.aborted) {
      const { done } = await this.#parts.logs.deleteBefore(now - this.#times.logsMs);
      if (done) return;
      await this.#pause();
    }
  }

  async #accounts(): Promise<readonly string[]> {
    const record = await this.#parts.turns.store.get(CLUSTER_KEY);
    return record === undefined ? [] : decodeRecord<ClusterRecord>(record).accounts;
  }

  async #expire(keys: AsyncGenerator<Uint8Array, void, undefined>): Promise<void> {
    let slice: Uint8Array[] = [];
    for await (const key of keys) {
      if (this.#closing.signal.aborted) return;
      slice.push(key);
      if (slice.length < SLICE_KEYS) continue;
      await this.#parts.turns.apply({ kind: 'expire', keys: slice });
      slice = [];
      await this.#pause();
    }
    if (slice.length > 0) await this.#parts.turns.apply({ kind: 'expire', keys: slice });
  }

  /**
   * Keys of the jobs that ended before a time. Records stand by number, which is the order of submission: behind the first
   * job that was submitted after the time, nothing can have ended before it.
   */
  async *#endedJobs(account: string, beforeMs: number): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const page of this.#parts.turns.store.scan(tableRange(account, 'x'))) {
      for (const { value } of page) {
        const job = decodeEndedJob(value);
        if (job.createdAtMs >= beforeMs) return;
        if (job.stoppedAtMs >= beforeMs) continue;
        if (job.array !== undefined) yield* this.#children(job);
        yield* keysOf(job);
      }
    }
  }

  /** What an array kept of its children. */
  async *#children({ account, number }: EndedJob): AsyncGenerator<Uint8Array, void, undefined> {
    for (const table of ['b', 'c'] as const) {
      for await (const page of this.#parts.turns.store.scan(arrayRange(account, table, number))) {
        for (const { key } of page) yield key;
      }
    }
  }

  async *#history(account: string, beforeMs: number): AsyncGenerator<Uint8Array, void, undefined> {
    const { gte } = tableRange(account, 'h');
    const lt = historyTimeKey(account, Math.max(0, beforeMs));
    for await (const page of this.#parts.turns.store.scan({ gte, lt })) {
      for (const { key } of page) yield key;
    }
  }

  async #pause(): Promise<void> {
    await sleep(SLICE_PAUSE_MS, undefined, { signal: this.#closing.signal }).catch(() => undefined);
  }
}

function* keysOf({ account, number, id, attempts }: EndedJob): Generator<Uint8Array, void, undefined> {
  yield specKey(account, number);
  yield jobIdIndexKey(account, id);
  for (let attempt = 1; attempt <= attempts; attempt++) yield attemptKey(account, number, attempt);
  // Last: while it is there, a round that was cut short finds the rest again.
  yield endedJobKey(account, number);
}
