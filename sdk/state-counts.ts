import type { StateCounts } from './types.ts';

/** The states of jobs that are not over, in the order of a job's life. */
export const LIVE_STATES = ['submitted', 'pending', 'runnable', 'starting', 'running'] as const;
export type LiveState = (typeof LIVE_STATES)[number];

/** How many jobs that are not over there are, in these states (default: all of them). */
export function liveTotal(counts: StateCounts | undefined, states: readonly LiveState[] = LIVE_STATES): number {
  return states.reduce((sum, state) => sum + (counts?.[state] ?? 0), 0);
}
