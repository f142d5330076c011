import { arrayOf } from '../arrays/children.ts';
import { MAX_NODE_LOSS_ATTEMPTS } from '../limits.ts';
import { refreshNode } from '../nodes/capacity.ts';
import { ghostKey } from '../nodes/ghosts.ts';
import { writeNode } from '../nodes/records.ts';
import { removePlaced } from '../scheduler/pass.ts';
import type { CoreState, Placed } from '../state.ts';
import { NONE } from '../tables/job-table.ts';
import { type AttemptOutcome, EndCause, JobState, OnNodeLost } from '../types.ts';
import type { EndedAttempt } from '../view.ts';
import { shouldRetry, visibleExitCode } from './retry.ts';
import { attemptStatusReason } from './texts.ts';
import { recordAttempt } from './transition.ts';
import { endUnit, setAttempt, waitAgain } from './unit.ts';

/** How and when an attempt ended. */
export interface AttemptEnd {
  readonly outcome: AttemptOutcome;
  readonly startedAtMs: number;
  readonly stoppedAtMs: number;
  /** The node still holds its resources, or may: they stay charged until it says otherwise. */
  readonly leavesGhost: boolean;
}

/** Ends an attempt: records it, frees what it held, and ends its job or tries it again. */
export function endAttempt(core: CoreState, placed: Placed, end: AttemptEnd): void {
  const { row, child, node } = placed;
  const { outcome } = end;
  if (end.leavesGhost) {
    const jobId = core.jobs.id(row);
    const { attempt, requirements } = placed;
    const { epoch } = core.position;
    node.ghosts.set(ghostKey(jobId, child, attempt), { jobId, childIndex: child, attempt, epoch, requirements });
    writeNode(core, node);
  }
  removePlaced(core, placed, end.leavesGhost);
  const attempt: EndedAttempt = {
    ...outcome,
    attempt: placed.attempt,
    node: node.name,
    placedAtMs: placed.placedAtMs,
    startedAtMs: end.startedAtMs,
    stoppedAtMs: end.stoppedAtMs,
    statusReason: attemptStatusReason(outcome.cause, node.name, placed.stopReason),
  };
  const succeeded = outcome.cause === EndCause.exited && outcome.exitCode === 0;
  const ending = placed.stopping || isClosed(core, placed);
  const again = !succeeded && !ending && triesAgain(core, row, attempt);
  recordAttempt(core, placed, attempt, succeeded, !again);
  if (again) {
    waitAgain(core, row, child);
    return;
  }
  endUnit(core, row, child, {
    state: succeeded ? JobState.succeeded : JobState.failed,
    statusReason: attempt.statusReason,
    cause: outcome.cause,
    attempt,
  });
}

/** No child of its array is placed any more. */
function isClosed(core: CoreState, { row, child }: Placed): boolean {
  return child !== NONE && arrayOf(core, row).closed;
}

function triesAgain(core: CoreState, row: number, attempt: EndedAttempt): boolean {
  const policy = core.retries.get(core.jobs.get('retry', row));
  const facts = {
    statusReason: attempt.statusReason,
    reason: attempt.reason,
    exitCode: String(visibleExitCode(attempt) ?? ''),
  };
  if (attempt.cause === EndCause.nodeLost) {
    const onNodeLost = core.jobs.onNodeLost(row);
    if (onNodeLost === OnNodeLost.fail) return false;
    // `rerun` and `fenced` promise another run; a job that takes node after node down with it is given up all the same.
    if (onNodeLost !== OnNodeLost.wait) {
      const attempts = Math.max(policy.attempts, MAX_NODE_LOSS_ATTEMPTS);
      return shouldRetry({ ...policy, attempts }, attempt.attempt, attempt.cause, facts);
    }
  }
  return shouldRetry(policy, attempt.attempt, attempt.cause, facts);
}

/** The node is gone, or knows nothing of the attempt: what became of it is unknown, and said to be. */
export function loseAttempt(core: CoreState, placed: Placed, reason: string, leavesGhost: boolean): void {
  endAttempt(core, placed, {
    outcome: {
      cause: EndCause.nodeLost,
      exitCode: undefined,
      signal: undefined,
      reason,
      peakMemoryBytes: undefined,
      cpuTimeUs: undefined,
      logLengths: [],
      imageDigest: '',
    },
    startedAtMs: placed.startedAtMs,
    stoppedAtMs: core.wallMs,
    leavesGhost,
  });
}

/** A node rejected a placement: it never ran and never will; the job waits again and no attempt was used up. */
export function takeBack(core: CoreState, placed: Placed): void {
  const { row, child, node } = placed;
  removePlaced(core, placed);
  refreshNode(node);
  setAttempt(core, row, child, placed.attempt - 1);
  if (placed.stopping || isClosed(core, placed)) {
    const statusReason = placed.stopReason || core.arrays.get(row)?.reason || '';
    endUnit(core, row, child, { state: JobState.failed, statusReason, cause: EndCause.stopped, attempt: undefined });
    return;
  }
  waitAgain(core, row, child);
}
