/** Milliseconds between attempts to connect: doubling, never above the cap, and jittered so that a cluster does not knock at once. */
const FIRST_MS = 200;
const CAP_MS = 10_000;

export class Backoff {
  readonly #random: () => number;
  #failures = 0;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** Between half and all of the current step. */
  next(): number {
    const step = Math.min(CAP_MS, FIRST_MS * 2 ** Math.min(this.#failures, 16));
    this.#failures++;
    return step * (0.5 + this.#random() / 2);
  }

  reset(): void {
    this.#failures = 0;
  }
}
