import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { AttemptKey } from '../journal/attempt-key.ts';
import type { LogPolicy } from './policy.ts';

/** Directories that are removed for want of space before the disk is asked again. */
const BATCH = 200;
const SWEEP_MS = 5_000;

export interface RetentionOptions {
  readonly directory: string;
  readonly policy: LogPolicy;
  readonly log: Logger;
  /** Whether the disk has room for what is only kept for convenience. */
  readonly spacious: () => boolean;
  readonly onRemoved: (keys: readonly AttemptKey[]) => void;
}

/** Attempts of which the control plane has everything: their directories stay for a day while space allows, oldest out first. */
export class LogRetention {
  readonly #options: RetentionOptions;
  /** In the order of retirement. */
  readonly #retired = new Map<AttemptKey, number>();
  readonly #timer: NodeJS.Timeout;
  #sweeping: Promise<void> | undefined;

  constructor(options: RetentionOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.sweep(), SWEEP_MS);
  }

  get size(): number {
    return this.#retired.size;
  }

  retire(key: AttemptKey, atMs: number): void {
    this.#retired.set(key, atMs);
  }

  /** Removes what is due now. */
  sweep(): Promise<void> {
    this.#sweeping ??= this.#sweep().finally(() => {
      this.#sweeping = undefined;
    });
    return this.#sweeping;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#sweeping;
  }

  async #sweep(): Promise<void> {
    const { directory, policy, log, spacious, onRemoved } = this.#options;
    const before = Date.now() - policy.retentionMs;
    const removed: AttemptKey[] = [];
    for (const [key, atMs] of this.#retired) {
      const needed = removed.length < BATCH && !spacious();
      if (!needed && atMs > before && this.#retired.size <= policy.retainedAttempts) break;
      this.#retired.delete(key);
      removed.push(key);
      try {
        await rm(join(directory, key), { recursive: true, force: true });
      } catch (error) {
        log.warn({ err: error, attempt: key }, 'the directory of an attempt could not be removed');
      }
    }
    if (removed.length > 0) onRemoved(removed);
  }
}
