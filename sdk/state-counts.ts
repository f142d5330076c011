import type { StateCounts } from './types.ts';

/** The states of a job, in the order of its life; the last two are its end. */
export const STATES = ['submitted', 'pending', 'runnable', 'starting', 'running', 'succeeded', 'failed'] as const;
export type StateKey = (typeof STATES)[number];

/** The states of jobs that are not over. */
export const LIVE_STATES = STATES.slice(0, 5);

/** How many jobs are in these states (default: those of jobs that are not over). */
export function countIn(counts: StateCounts | undefined, states: readonly StateKey[] = LIVE_STATES): number {
  return states.reduce((sum, state) => sum + (counts?.[state] ?? 0), 0);
}
