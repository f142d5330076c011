import { type AttemptState, isComplete } from './admission.ts';
import { type AttemptRef, LogStoreError } from './log-store.ts';

/** Attempts whose known ends are kept in memory; the least recently used are read from the index again. */
export const MAX_CACHED_ATTEMPTS = 20_000;
export const MAX_FOLLOWERS = 10_000;

export const attemptKey = ({ jobNumber, childIndex, attempt, task, container }: AttemptRef): string =>
  `${jobNumber}.${childIndex}.${attempt}.${task ?? 0}.${container ?? 0}`;

/** A follower's ear: `changed` resolves when the attempt has moved since the last call, or the signal fires. */
export interface Watch {
  changed(): Promise<void>;
  close(): void;
}

/** What is alive: the known ends of attempts that are being written, and who waits for them. Bounded in both. */
export class Attempts {
  readonly #cache = new Map<string, AttemptState>();
  readonly #watchers = new Map<string, Set<() => void>>();
  #followers = 0;

  get followers(): number {
    return this.#followers;
  }

  get cached(): number {
    return this.#cache.size;
  }

  find(key: string): AttemptState | undefined {
    const state = this.#cache.get(key);
    if (state) {
      this.#cache.delete(key);
      this.#cache.set(key, state);
    }
    return state;
  }

  /** Remembers an attempt, unless it is over, and wakes its followers. */
  moved(key: string, state: AttemptState): void {
    this.#cache.delete(key);
    if (!isComplete(state)) {
      this.#cache.set(key, state);
      for (const oldest of this.#cache.keys()) {
        if (this.#cache.size <= MAX_CACHED_ATTEMPTS) {
          break;
        }
        this.#cache.delete(oldest);
      }
    }
    for (const wake of this.#watchers.get(key) ?? []) {
      wake();
    }
  }

  /** What is remembered may be behind the disk: forget it. */
  forget(): void {
    this.#cache.clear();
  }

  wakeAll(): void {
    for (const watchers of this.#watchers.values()) {
      for (const wake of watchers) {
        wake();
      }
    }
  }

  watch(key: string, signal: AbortSignal | undefined): Watch {
    if (this.#followers >= MAX_FOLLOWERS) {
      throw new LogStoreError('TOO_MANY_FOLLOWERS', `followers: at most ${MAX_FOLLOWERS} at a time`);
    }
    this.#followers++;
    let dirty = signal?.aborted ?? false;
    let waiting: (() => void) | undefined;
    const wake = (): void => {
      dirty = true;
      waiting?.();
    };
    const watchers = this.#watchers.get(key) ?? new Set();
    this.#watchers.set(key, watchers.add(wake));
    signal?.addEventListener('abort', wake);
    return {
      changed: async () => {
        if (!dirty) {
          await new Promise<void>((resolve) => {
            waiting = resolve;
          });
          waiting = undefined;
        }
        dirty = false;
      },
      close: () => {
        this.#followers--;
        signal?.removeEventListener('abort', wake);
        watchers.delete(wake);
        if (watchers.size === 0) {
          this.#watchers.delete(key);
        }
      },
    };
  }
}
