import { parseJobId } from '../core/ids.ts';
import type { JobIdBytes } from '../core/types.ts';
import { invalid } from './errors.ts';
import { splitChild } from './job-lookup.ts';

/** A job by its id, or one child of an array. */
export interface Target {
  readonly id: JobIdBytes;
  /** -1: the job itself. */
  readonly child: number;
}

/** UUIDs, each with `:index` behind it where a child of an array is meant. */
export function parseTargets(texts: readonly string[]): Target[] {
  return texts.map((text, at) => {
    const { job, child } = splitChild(text);
    const id = parseJobId(job);
    if (id === undefined) throw invalid(`job_ids[${at}]`, `must be a UUID, got "${text}"`);
    return { id, child };
  });
}
