import { setImmediate } from 'node:timers/promises';

/** How long the items of calls are worked on before the event loop gets its turn, in ms. */
export const SLICE_MS = 4;

/**
 * Works through the items of large calls without holding up everybody else: in slices, and one call after another, so
 * that many large calls together hold the event loop no longer than one of them does.
 */
export class Pace {
  readonly #nowMs: () => number;
  #last: Promise<void> = Promise.resolve();

  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
  }

  /** In the order of the items; what `visit` throws ends it. */
  take<T>(items: readonly T[], visit: (item: T, at: number) => void): Promise<void> {
    const taken = this.#last.then(() => this.#slices(items, visit));
    this.#last = taken.catch(() => undefined);
    return taken;
  }

  async #slices<T>(items: readonly T[], visit: (item: T, at: number) => void): Promise<void> {
    let until = this.#nowMs() + SLICE_MS;
    for (const [at, item] of items.entries()) {
      visit(item, at);
      if (this.#nowMs() < until) continue;
      await setImmediate();
      until = this.#nowMs() + SLICE_MS;
    }
  }
}
