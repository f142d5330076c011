import type { JobSummary } from '../types.ts';
import { EXIT_GALLEY, EXIT_SIGNAL_BASE } from './exit.ts';
import { formatReason } from './format.ts';

/**
 * The exit code of `run` and `wait` for an ended job: the job's own; 128 + n when signal n ended it; 125 when it failed
 * without a code (it never started, its node is gone) or in spite of a code of 0 (it was stopped and left quietly).
 */
export function exitCodeOf({ state, exitCode, signal }: JobSummary): number {
  if (state === 'SUCCEEDED') return 0;
  if (signal !== undefined && signal > 0) return EXIT_SIGNAL_BASE + signal;
  return exitCode === undefined || exitCode === 0 ? EXIT_GALLEY : exitCode;
}

/** `Job 12 (make) failed: exit 3` with the reason, where it has one. */
export function describeEnd(job: JobSummary): string {
  const { number, jobName, state, exitCode, signal } = job;
  const subject = `Job ${number} (${jobName})`;
  if (state === 'SUCCEEDED') return `${subject} succeeded`;
  const why = formatReason(job);
  return `${subject} failed: ${how(exitCode, signal)}${why === '' ? '' : ` (${why})`}`;
}

function how(exitCode: number | undefined, signal: number | undefined): string {
  if (signal !== undefined && signal > 0) return `signal ${signal}`;
  return exitCode === undefined ? 'no exit code' : `exit ${exitCode}`;
}
