import { create } from '@bufbuild/protobuf';
import {
  type CancelJobResult,
  CancelJobResultSchema,
  type CancelJobsRequest,
  CancelMode as CancelModeMessage,
  CancelOutcome as CancelOutcomeMessage,
} from '@galley/proto';
import { assertNever } from '../core/assert.ts';
import type { Cancelled, CancelOutcome } from '../core/types.ts';
import type { Turns } from '../turn/turns.ts';
import { accountOf } from './accounts.ts';
import type { JobLookup } from './job-lookup.ts';
import type { Target } from './targets.ts';

/** Jobs that one input to the core ends at most. */
const MAX_INPUT_JOBS = 1_000;

/** Ends jobs; answers in the order of the request. `ids` are the request's, parsed. */
export async function cancelJobs(
  turns: Turns,
  lookup: JobLookup,
  request: CancelJobsRequest,
  ids: readonly Target[],
): Promise<CancelJobResult[]> {
  const inputs: Promise<Cancelled[]>[] = [];
  for (let at = 0; at < ids.length; at += MAX_INPUT_JOBS) {
    inputs.push(
      turns.apply({
        kind: 'cancelJobs',
        jobs: ids.slice(at, at + MAX_INPUT_JOBS).map(({ id, child }) => (child < 0 ? id : { jobId: id, child })),
        reason: request.reason,
        mode: request.mode === CancelModeMessage.PENDING_ONLY ? 'pendingOnly' : 'terminate',
        graceSeconds: request.graceSeconds,
      }),
    );
  }
  const results = (await Promise.all(inputs))
    .flat()
    .map((cancelled, at) => toResult(request.jobIds[at] ?? '', cancelled));
  await fillEnded(lookup, accountOf(request), results, ids);
  return results;
}

/** The core forgets a job some time after its end; the store does not. */
async function fillEnded(
  lookup: JobLookup,
  account: string,
  results: readonly CancelJobResult[],
  ids: readonly Target[],
): Promise<void> {
  const unknown = results.flatMap((result, at) => {
    const target = ids[at];
    const unknown = result.outcome === CancelOutcomeMessage.UNKNOWN_JOB;
    return target !== undefined && unknown ? [{ account, ...target, result }] : [];
  });
  if (unknown.length === 0) return;
  for (const [at, job] of (await lookup.byIds(unknown)).entries()) {
    const result = unknown[at]?.result;
    if (job === undefined || result === undefined) continue;
    result.outcome = CancelOutcomeMessage.ALREADY_ENDED;
    result.state = job.state;
    result.number = BigInt(job.number);
  }
}

function toResult(jobId: string, { outcome, state, number }: Cancelled): CancelJobResult {
  return create(CancelJobResultSchema, {
    jobId,
    outcome: outcomeMessage(outcome),
    state: state ?? 0,
    number: BigInt(number ?? 0),
  });
}

function outcomeMessage(outcome: CancelOutcome): CancelOutcomeMessage {
  switch (outcome) {
    case 'ended':
      return CancelOutcomeMessage.ENDED;
    case 'stopping':
      return CancelOutcomeMessage.STOPPING;
    case 'alreadyEnded':
      return CancelOutcomeMessage.ALREADY_ENDED;
    case 'leftRunning':
      return CancelOutcomeMessage.LEFT_RUNNING;
    case 'unknownJob':
      return CancelOutcomeMessage.UNKNOWN_JOB;
    default:
      return assertNever(outcome);
  }
}
