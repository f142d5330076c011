import { setTimeout as delay } from 'node:timers/promises';
import { GalleyError, neverSent } from './errors.ts';

export interface RetryPolicy {
  /** Tries in all. */
  readonly attempts: number;
  /** Milliseconds before the second try; doubles up to `maxBackoffMs`. The wait is between half of it and all of it. */
  readonly initialBackoffMs: number;
  readonly maxBackoffMs: number;
}

export const DEFAULT_RETRY: RetryPolicy = { attempts: 6, initialBackoffMs: 100, maxBackoffMs: 2_000 };

/**
 * How a call may be repeated.
 * - `safe`: it reads, or carries an id that makes a second arrival harmless.
 * - `once`: a second arrival would do it twice, or fail because the first one did it.
 */
export type Repeatability = 'safe' | 'once';

/** The control plane's `reason` for taking nothing more for now. */
const REASON_OVERLOADED = 'OVERLOADED';

/** Repeats a call on UNAVAILABLE and when the server is overloaded, with jitter, as far as its nature and the policy allow. Throws GalleyError. */
export async function withRetries<T>(
  call: () => Promise<T>,
  policy: RetryPolicy,
  repeatability: Repeatability,
  signal: AbortSignal | undefined,
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await call();
    } catch (thrown) {
      const error = GalleyError.from(thrown);
      if (attempt >= policy.attempts || !mayRepeat(error, repeatability)) throw finalError(error, repeatability);
      await pause(backoffMs(policy, attempt), signal);
    }
  }
}

function mayRepeat(error: GalleyError, repeatability: Repeatability): boolean {
  if (neverSent(error)) return true;
  // The server had too much to do and did nothing.
  if (error.reason === REASON_OVERLOADED) return true;
  return repeatability === 'safe' && (error.code === 'UNAVAILABLE' || error.code === 'OUTCOME_UNKNOWN');
}

/** A change that was sent and not answered may have been made: that is not the same as a server that is not there. */
function finalError(error: GalleyError, repeatability: Repeatability): GalleyError {
  if (error.code !== 'UNAVAILABLE' || repeatability === 'safe' || neverSent(error)) return error;
  return new GalleyError('OUTCOME_UNKNOWN', `the answer was lost, the change may have been made: ${error.message}`, {
    cause: error,
  });
}

/** Milliseconds to wait after try number `attempt` (from 1). */
export function backoffMs(policy: RetryPolicy, attempt: number, random: () => number = Math.random): number {
  const whole = Math.min(policy.maxBackoffMs, policy.initialBackoffMs * 2 ** (attempt - 1));
  return whole * (0.5 + random() / 2);
}

/** Waits; rejects with CANCELLED when the signal fires. */
export async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await delay(ms, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    throw GalleyError.from(error);
  }
}
