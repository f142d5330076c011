import { randomUUID } from 'node:crypto';
import type { GalleyClient } from '../../client.ts';
import type { JobRequest } from '../../submit-request.ts';
import { isTerminal, type Job, type JobStateName } from '../../types.ts';
import { CliError } from '../exit.ts';
import { describeEnd } from '../job-exit.ts';
import type { Stage } from './stage.ts';

const MEMORY_BYTES = 256 * 1024 * 1024;
/** Fits a host with one core, of which it keeps a part for itself. */
const VCPUS = 0.5;
/** A demo that hangs is worse than one that fails. */
const JOB_TIMEOUT_SECONDS = 120;

export interface Batch {
  readonly mapIds: readonly string[];
  readonly mergeId: string;
}

/** Map jobs, and a merge that depends on all of them: in one call, all or none. */
export async function submitBatch(client: GalleyClient, stage: Stage): Promise<Batch> {
  const common = { workingDirectory: stage.directory, timeoutSeconds: JOB_TIMEOUT_SECONDS };
  const maps = stage.parts.map(({ list, output }) => ({
    ...common,
    jobId: randomUUID(),
    jobName: 'demo-map',
    command: [stage.node, stage.mapScript, list, output],
    resources: { vcpus: VCPUS, memoryBytes: MEMORY_BYTES },
  }));
  const mapIds = maps.map(({ jobId }) => jobId);
  const merge: JobRequest = {
    ...common,
    jobId: randomUUID(),
    jobName: 'demo-merge',
    command: [stage.node, stage.mergeScript, stage.index, ...stage.parts.map(({ output }) => output)],
    resources: { vcpus: VCPUS, memoryBytes: 2 * MEMORY_BYTES },
    dependsOn: mapIds,
  };
  const results = await client.submitJobs([...maps, merge], { mode: 'atomic' });
  for (const result of results) {
    if (!result.ok) throw result.error;
  }
  return { mapIds, mergeId: merge.jobId ?? '' };
}

/** Jobs by state, as they change; returns when all are over. */
export async function watchBatch(
  client: GalleyClient,
  { mapIds, mergeId }: Batch,
  onChange: (states: ReadonlyMap<string, JobStateName>) => void,
  signal: AbortSignal,
): Promise<void> {
  const states = new Map<string, JobStateName>();
  for await (const { jobId, state } of client.watchJobs([...mapIds, mergeId], { signal })) {
    states.set(jobId, state);
    onChange(states);
  }
}

/** The jobs as they ended; throws when one of them failed, with what it wrote. */
export async function describeBatch(client: GalleyClient, { mapIds, mergeId }: Batch): Promise<Job[]> {
  const jobs = await client.describeJobs([...mapIds, mergeId]);
  const failed = jobs.filter(({ summary }) => summary.state === 'FAILED');
  const first = failed[0];
  if (first === undefined) return jobs;
  const log: Uint8Array[] = [];
  if (first.attempts.length > 0) {
    for await (const chunk of client.readWholeLog(first.summary.jobId, { tailLines: 20 })) log.push(chunk.data);
  }
  throw new CliError(
    `${failed.length} of ${jobs.length} jobs failed; the first: ${describeEnd(first.summary)}\n${Buffer.concat(log).toString()}`,
  );
}

/** `12 done, 4 running, 9 waiting`. */
export function countStates(states: ReadonlyMap<string, JobStateName>): string {
  const number = (wanted: (state: JobStateName) => boolean) => [...states.values()].filter(wanted).length;
  const done = number(isTerminal);
  const running = number((state) => state === 'RUNNING' || state === 'STARTING');
  return `${done} done, ${running} running, ${states.size - done - running} waiting`;
}
