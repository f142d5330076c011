import type { Logger } from 'pino';
import type { Lease } from './lease.ts';

/** A timer may be late after a suspend, so the boot clock is looked at this often. */
const LOOK_MS = 500;

export interface LeaseGuardOptions {
  readonly lease: Lease;
  readonly attempts: { readonly fenced: boolean; stopFenced(): void };
  readonly uptimeMs: () => number;
  readonly log: Logger;
}

/** Stops the jobs that may be run again elsewhere as soon as the lease is over. */
export class LeaseGuard {
  readonly #options: LeaseGuardOptions;
  readonly #timer: NodeJS.Timeout;
  #told = false;

  constructor(options: LeaseGuardOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.look(), LOOK_MS);
    this.look();
  }

  look(): void {
    const { lease, attempts, uptimeMs, log } = this.#options;
    if (!attempts.fenced || uptimeMs() < lease.untilUptimeMs) {
      this.#told = false;
      return;
    }
    if (!this.#told) log.warn('the lease is over: jobs that are run again when their node is lost are stopped here');
    this.#told = true;
    attempts.stopFenced();
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
