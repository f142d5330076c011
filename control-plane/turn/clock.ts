/** Time as the shell gives it to the core; injected in tests. */
export interface Clock {
  /** Unix ms. May jump. */
  wallMs(): number;
  /** Milliseconds of a clock that never jumps, from an arbitrary origin. */
  elapsedMs(): number;
}

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  elapsedMs: () => performance.now(),
};
