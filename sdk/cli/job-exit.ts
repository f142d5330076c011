import type { JobSummary } from '../types.ts';
import { EXIT_GALLEY, EXIT_SIGNAL_BASE } from './exit.ts';

/**
 * The exit code of `run` and `wait` for an ended job: the job's own; 128 + n when signal n ended it; 125 when it failed
 * without a code (it never started, its node is gone) or in spite of a code of 0 (it was stopped and left quietly).
 */
export function exitCodeOf({ state, exitCode, signal }: JobSummary): number {
  if (state === 'SUCCEEDED') return 0;
  if (signal !== undefined && signal > 0) return EXIT_SIGNAL_BASE + signal;
  return exitCode === undefined || exitCode === 0 ? EXIT_GALLEY : exitCode;
}

/** `Job 12 (make) failed: exit 3` with the reason that it carries. */
export function describeEnd({
  number,
  jobName,
  state,
  exitCode,
  signal,
  cause,
  statusReason,
  reason,
}: JobSummary): string {
  const subject = `Job ${number} (${jobName})`;
  if (state === 'SUCCEEDED') return `${subject} succeeded`;
  const said = [reason, cause === 'EXITED' || cause === 'SIGNALLED' ? '' : statusReason].filter(Boolean).join('; ');
  const how =
    signal !== undefined && signal > 0
      ? `signal ${signal}`
      : exitCode === undefined
        ? 'no exit code'
        : `exit ${exitCode}`;
  return `${subject} failed: ${how}${said === '' ? '' : ` (${said})`}`;
}
