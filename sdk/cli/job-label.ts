import { countIn, STATES } from '../state-counts.ts';
import type { JobSummary } from '../types.ts';

/** How a job is named for people: its number, with `:index` for a child of an array. */
export function jobLabel({ number, arrayIndex }: Pick<JobSummary, 'number' | 'arrayIndex'>): string {
  return arrayIndex === undefined ? String(number) : `${number}:${arrayIndex}`;
}

/** `60 of 100 over: 3 failed, 57 succeeded, 10 running, 30 runnable`; undefined for a job that is no array. */
export function describeChildren({ array }: Pick<JobSummary, 'array'>): string | undefined {
  if (array === undefined) return undefined;
  const counts = STATES.map((state) => ({ state, children: countIn(array.statusSummary, [state]) })).reverse();
  const over = counts.slice(0, 2).reduce((sum, { children }) => sum + children, 0);
  const parts = counts.filter(({ children }) => children > 0).map(({ state, children }) => `${children} ${state}`);
  return `${over} of ${array.size} over: ${parts.join(', ')}`;
}

/** Children that failed. */
export function failedChildren({ array }: Pick<JobSummary, 'array'>): number {
  return countIn(array?.statusSummary, ['failed']);
}
