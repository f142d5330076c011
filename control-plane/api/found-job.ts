import type { EndedJob, LiveJob } from '../core/view.ts';

/** A job wherever it is: alive in the core, or over and in the store. `'stoppedAtMs' in job` tells which. */
export type FoundJob = LiveJob | EndedJob;

export function isEnded(job: FoundJob): job is EndedJob {
  return 'stoppedAtMs' in job;
}
