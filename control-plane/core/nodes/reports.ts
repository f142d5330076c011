import { endAttempt, loseAttempt, takeBack } from '../jobs/attempt-end.ts';
import { markDirty } from '../jobs/transition.ts';
import { attemptOf, hasUnit, markUnit, placedOf, setAttempt, setUnitState, stateOf } from '../jobs/unit.ts';
import {
  EPOCH_NUMBER_GAP,
  MAX_ORPHANS_PER_NODE,
  MAX_REJECTION_BACKOFF_MS,
  MIN_REJECTION_BACKOFF_MS,
} from '../limits.ts';
import { addPlaced } from '../scheduler/pass.ts';
import { removeReady } from '../scheduler/queueing.ts';
import { type CoreState, emit, type Node, type Placed, updateCluster } from '../state.ts';
import { JobFlag, NONE } from '../tables/job-table.ts';
import { type AttemptReport, isTerminal, JobState } from '../types.ts';
import { refreshNode } from './capacity.ts';
import { ghostKey, layGhost } from './ghosts.ts';

/**
 * Applies an attempt's cumulative state; the same report twice changes nothing the second time. True when the agent may
 * forget the attempt once this turn is durable.
 */
export function applyReport(core: CoreState, node: Node, report: AttemptReport): boolean {
  const over = report.phase === 'ended' || report.phase === 'rejected';
  const child = report.childIndex;
  const found = core.jobs.findById(report.jobId);
  const row = found !== NONE && hasUnit(core, found, child) ? found : NONE;
  const placed = row === NONE ? undefined : placedOf(core, row, child);
  if (placed !== undefined && placed.node === node && placed.attempt === report.attempt) {
    // A rejected attempt is placed again under its number: the sequence tells a late rejection from one of this placement.
    if (placed.sequence === report.placementSequence) advance(core, placed, report);
    return over;
  }
  const key = ghostKey(report.jobId, child, report.attempt);
  if (node.ghosts.has(key)) {
    if (over) layGhost(core, node, key);
    else stopGhost(core, node, key, report);
    return over;
  }
  if (row !== NONE && !isTerminal(stateOf(core, row, child)) && report.attempt > attemptOf(core, row, child)) {
    if (report.phase !== 'rejected') adopt(core, node, row, report);
    return over;
  }
  if (over) endOrphan(node, report);
  // What is over and unknown is mostly an old job, forgotten in order; a number says which the last epoch change lost.
  if (!over || (report.phase === 'ended' && isLostNumber(core, report.jobNumber))) addOrphan(core, node, report);
  return over;
}

function advance(core: CoreState, placed: Placed, report: AttemptReport): void {
  if (!placed.accepted) {
    placed.accepted = true;
    placed.node.unanswered -= 1;
    // A child's record says it with the next change: whoever loads it asks the node anyway.
    if (placed.child === NONE) markDirty(core, placed.row);
    refreshNode(placed.node);
  }
  switch (report.phase) {
    case 'accepted':
      return;
    case 'running':
      start(core, placed, core.wallMs - report.ageMs);
      return;
    case 'ended':
      finish(core, placed, report);
      return;
    case 'rejected':
      reject(core, placed, report);
      return;
  }
}

function start(core: CoreState, placed: Placed, startedAtMs: number): void {
  if (placed.startedAtMs !== 0) return;
  // Times are derived from durations and kept in order: a node's clock is never compared with ours.
  placed.startedAtMs = Math.min(core.wallMs, Math.max(placed.placedAtMs, startedAtMs));
  const { row, child } = placed;
  if (stateOf(core, row, child) === JobState.starting) setUnitState(core, row, child, JobState.running);
  markUnit(core, row, child);
}

function finish(core: CoreState, placed: Placed, report: AttemptReport): void {
  const { outcome } = report;
  if (outcome === undefined) return;
  const stoppedAtMs = Math.min(
    core.wallMs,
    Math.max(placed.startedAtMs, placed.placedAtMs, core.wallMs - report.ageMs),
  );
  if (report.runDurationMs > 0 || outcome.exitCode !== undefined || outcome.signal !== undefined) {
    start(core, placed, stoppedAtMs - report.runDurationMs);
  }
  endAttempt(core, placed, {
    outcome,
    startedAtMs: placed.startedAtMs,
    stoppedAtMs,
    leavesGhost: !report.resourcesReleased,
  });
}

function reject(core: CoreState, placed: Placed, report: AttemptReport): void {
  const { node } = placed;
  const wanted = report.rejection?.retryAfterMs ?? 0;
  const backoff = Math.min(MAX_REJECTION_BACKOFF_MS, Math.max(MIN_REJECTION_BACKOFF_MS, wanted));
  const reason = report.rejection?.reason ?? '';
  node.rejections.set(core.classes.serial[core.jobs.get('class', placed.row)] as number, {
    untilMs: core.elapsedMs + backoff,
    reason,
  });
  takeBack(core, placed);
}

/** The store lost this attempt: it goes on from what the node says, and its job with it. */
function adopt(core: CoreState, node: Node, row: number, report: AttemptReport): void {
  const { jobs } = core;
  const child = report.childIndex;
  const older = placedOf(core, row, child);
  if (older !== undefined) loseAttempt(core, older, 'its end was lost with the state of the control plane', false);
  if (isTerminal(stateOf(core, row, child))) {
    if (report.phase !== 'ended') addOrphan(core, node, report);
    return;
  }
  if (child === NONE) {
    if (jobs.has(row, JobFlag.ready)) removeReady(core, row);
    jobs.setFlag(row, JobFlag.held, false);
  }
  const placed = addPlaced(core, {
    row,
    child,
    node,
    attempt: report.attempt,
    sequence: report.placementSequence,
    incarnation: node.incarnation,
    epoch: core.position.epoch,
    requirements: core.classes.requirements(jobs.get('class', row)),
    placedAtMs: Math.max(
      jobs.get('createdAt', row),
      core.wallMs - report.ageMs - report.runDurationMs - report.startDelayMs,
    ),
    startedAtMs: 0,
    accepted: true,
    stopping: false,
    stopReason: '',
    stopGraceSeconds: undefined,
  });
  setAttempt(core, row, child, report.attempt);
  setUnitState(core, row, child, JobState.starting);
  updateCluster(core, { adoptedAttempts: core.cluster.adoptedAttempts + 1 });
  advance(core, placed, report);
}

function isLostNumber({ cluster }: CoreState, number: number): boolean {
  const from = cluster.lostNumbersFrom;
  return from !== undefined && number >= from && number < from + EPOCH_NUMBER_GAP;
}

function addOrphan(core: CoreState, node: Node, report: AttemptReport): void {
  if (node.orphans.length >= MAX_ORPHANS_PER_NODE) return;
  const startedAtMs = core.wallMs - report.ageMs - report.runDurationMs;
  const { jobId, childIndex, attempt, jobName } = report;
  const known = node.orphans.some(
    (o) => o.attempt === attempt && ghostKey(o.jobId, o.childIndex, attempt) === ghostKey(jobId, childIndex, attempt),
  );
  if (!known)
    node.orphans.push({ jobId, childIndex, attempt, running: report.phase === 'running', jobName, startedAtMs });
}

/** It stays listed, as one that is over: that it ran is what the operator has to know. */
function endOrphan(node: Node, { jobId, childIndex, attempt }: AttemptReport): void {
  const key = ghostKey(jobId, childIndex, attempt);
  const index = node.orphans.findIndex((o) => ghostKey(o.jobId, o.childIndex, o.attempt) === key);
  const orphan = node.orphans[index];
  if (orphan !== undefined) node.orphans[index] = { ...orphan, running: false };
}

/** An attempt that was given up is still there. Only the epoch that gave it up may stop it. */
function stopGhost(core: CoreState, node: Node, key: string, report: AttemptReport): void {
  if (node.ghosts.get(key)?.epoch !== core.position.epoch) {
    addOrphan(core, node, report);
    return;
  }
  emit(core, {
    kind: 'stop',
    account: node.account,
    node: node.name,
    session: node.session,
    jobId: report.jobId,
    childIndex: report.childIndex,
    attempt: report.attempt,
    reason: 'superseded by a later attempt while its node was away',
    graceSeconds: undefined,
  });
}
