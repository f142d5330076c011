import { setTimeout as delay } from 'node:timers/promises';

const POLL_MS = 20;

function late(limitMs: number, what: string | (() => string)): string {
  return `not within ${limitMs} ms: ${typeof what === 'string' ? what : what()}`;
}

/** Waits for something that no event announces: asks until the answer is neither undefined nor false, for so long. */
export async function eventually<T>(
  what: string | (() => string),
  ask: () => T | Promise<T>,
  limitMs = 30_000,
): Promise<Exclude<T, undefined | false>> {
  const until = performance.now() + limitMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer as Exclude<T, undefined | false>;
    if (performance.now() > until) throw new Error(late(limitMs, what));
    await delay(POLL_MS);
  }
}

/** Waits for a promise, but not longer than so long. */
export async function within<T>(limitMs: number, what: string | (() => string), promise: Promise<T>): Promise<T> {
  const timer = new AbortController();
  const deadline = delay(limitMs, undefined, { signal: timer.signal }).then(() => {
    throw new Error(late(limitMs, what));
  });
  deadline.catch(() => undefined);
  try {
    return await Promise.race([promise, deadline]);
  } finally {
    timer.abort();
  }
}
