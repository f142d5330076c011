import type { GalleyEvent } from '../../events.ts';

/** Seconds that are remembered. */
export const WINDOW_SECONDS = 60;

/** How many jobs began and ended in each of the last seconds. Elapsed time comes in, in milliseconds of any origin. */
export class Throughput {
  readonly #sinceMs: number;
  readonly #seconds: { second: number; started: number; succeeded: number; failed: number }[] = [];

  constructor(nowMs: number) {
    this.#sinceMs = nowMs;
  }

  add({ job: change }: GalleyEvent, nowMs: number): void {
    if (change === undefined) return;
    const jobs = countIndices(change.childIndices);
    const second = this.#current(nowMs);
    switch (change.job.state) {
      case 'RUNNING':
        second.started += jobs;
        return;
      case 'SUCCEEDED':
        second.succeeded += jobs;
        return;
      case 'FAILED':
        second.failed += jobs;
        return;
      default:
    }
  }

  /** Jobs a second over the last `seconds`, or since the beginning where that is less. */
  over(seconds: number, nowMs: number): { readonly started: number; readonly ended: number; readonly failed: number } {
    const first = Math.floor(nowMs / 1000) - seconds;
    const shown = this.#seconds.filter(({ second }) => second > first);
    const sum = (of: 'started' | 'succeeded' | 'failed') => shown.reduce((total, each) => total + each[of], 0);
    const spanSeconds = Math.max(1, Math.min(seconds, (nowMs - this.#sinceMs) / 1000));
    const failed = sum('failed');
    return { started: sum('started') / spanSeconds, ended: (sum('succeeded') + failed) / spanSeconds, failed };
  }

  #current(nowMs: number) {
    const second = Math.floor(nowMs / 1000);
    const last = this.#seconds.at(-1);
    if (last?.second === second) return last;
    const next = { second, started: 0, succeeded: 0, failed: 0 };
    this.#seconds.push(next);
    if (this.#seconds.length > WINDOW_SECONDS + 1) this.#seconds.shift();
    return next;
  }
}

/** Children in `0-99,150`; an empty text is the job itself. */
function countIndices(indices: string): number {
  if (indices === '') return 1;
  return indices.split(',').reduce((sum, range) => {
    const [from, to] = range.split('-').map(Number);
    return sum + ((to ?? from ?? 0) - (from ?? 0) + 1);
  }, 0);
}
