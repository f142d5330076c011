import { setTimeout as sleep } from 'node:timers/promises';
import type { AttemptRef, LogStore, StreamKind } from '../logs/log-store.ts';
import { LogStoreError } from '../logs/log-store.ts';

/** Ends on their way to the log store at once. */
const CONCURRENCY = 16;
/** Ends that wait. Beyond it the oldest are dropped: whoever reads such a log learns its length from the attempt's record. */
const MAX_WAITING = 20_000;
/** Tries of one end, and the time between them, in ms. */
const MAX_TRIES = 5;
const RETRY_MS = 1_000;

const STREAMS: readonly StreamKind[] = ['output', 'stdout', 'stderr'];

interface End {
  readonly ref: AttemptRef;
  readonly lengths: Readonly<Partial<Record<StreamKind, number>>>;
}

/**
 * Tells the log store how long the streams of ended attempts are, apart from everything that is urgent: no report, ack or
 * placement waits for it.
 */
export class LogEnds {
  readonly #logs: LogStore;
  readonly #onWarning: (message: string, error: unknown) => void;
  readonly #closing = new AbortController();
  #waiting: End[] = [];
  #running = 0;

  constructor(logs: LogStore, onWarning: (message: string, error: unknown) => void) {
    this.#logs = logs;
    this.#onWarning = onWarning;
  }

  /** `lengths`: bytes by log stream from OUTPUT, as the agent reported them. */
  add(ref: AttemptRef, lengths: readonly number[]): void {
    const named: Partial<Record<StreamKind, number>> = {};
    for (const [index, stream] of STREAMS.entries()) {
      const length = lengths[index];
      if (length !== undefined) named[stream] = length;
    }
    if (this.#waiting.length >= MAX_WAITING) this.#waiting.shift();
    this.#waiting.push({ ref, lengths: named });
    this.#pump();
  }

  /** Drops what waits. */
  close(): void {
    this.#closing.abort();
    this.#waiting = [];
  }

  #pump(): void {
    while (this.#running < CONCURRENCY) {
      const end = this.#waiting.shift();
      if (end === undefined) return;
      this.#running++;
      void this.#tell(end).finally(() => {
        this.#running--;
        this.#pump();
      });
    }
  }

  async #tell({ ref, lengths }: End): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        await this.#logs.end(ref, lengths);
        return;
      } catch (error) {
        if (this.#closing.signal.aborted) return;
        const final = error instanceof LogStoreError && (error.code === 'CONFLICT' || error.code === 'INVALID');
        if (final || tries >= MAX_TRIES) {
          this.#onWarning(`the end of the log of job ${ref.jobNumber}, attempt ${ref.attempt}, was not noted`, error);
          return;
        }
      }
      await sleep(RETRY_MS * tries, undefined, { signal: this.#closing.signal }).catch(() => undefined);
    }
  }
}
