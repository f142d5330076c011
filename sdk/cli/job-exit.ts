import type { JobSummary } from '../types.ts';
import { EXIT_GALLEY, EXIT_SIGNAL_BASE } from './exit.ts';
import { count, formatReason } from './format.ts';
import { failedChildren, jobLabel } from './job-label.ts';

/** Of an array that failed: its children have codes of their own. */
const EXIT_ARRAY_FAILED = 1;

/**
 * The exit code of `run` and `wait` for an ended job: the job's own; 128 + n when signal n ended it; 125 when it failed
 * without a code (it never started, its node is gone) or in spite of a code of 0 (it was stopped and left quietly). An array
 * of which a child failed: 1.
 */
export function exitCodeOf({ state, exitCode, signal, array }: JobSummary): number {
  if (state === 'SUCCEEDED') return 0;
  if (array !== undefined) return EXIT_ARRAY_FAILED;
  if (signal !== undefined && signal > 0) return EXIT_SIGNAL_BASE + signal;
  return exitCode === undefined || exitCode === 0 ? EXIT_GALLEY : exitCode;
}

/** `Job 12 (make) failed: exit 3` with the reason, where it has one. */
export function describeEnd(job: JobSummary): string {
  const { jobName, state, exitCode, signal, array } = job;
  const subject = `Job ${jobLabel(job)} (${jobName})`;
  if (state === 'SUCCEEDED') return `${subject} succeeded`;
  const why = formatReason(job);
  if (array !== undefined)
    return `${subject} failed: ${failedChildren(job)} of ${count(array.size, 'child', 'children')} failed (${why})`;
  return `${subject} failed: ${how(exitCode, signal)}${why === '' ? '' : ` (${why})`}`;
}

function how(exitCode: number | undefined, signal: number | undefined): string {
  if (signal !== undefined && signal > 0) return `signal ${signal}`;
  return exitCode === undefined ? 'no exit code' : `exit ${exitCode}`;
}
