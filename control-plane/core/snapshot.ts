import { attemptOf, placedOf, stateOf } from './jobs/unit.ts';
import type { LiveJobRecord, PlacedRecord } from './records/live-job.ts';
import type { CoreState, Placed, Queue } from './state.ts';
import { JobFlag, NONE } from './tables/job-table.ts';
import type { LiveJob } from './view.ts';

// Rows as plain values: for the store, and for whoever asks.

/** The header that the store keeps of a live job. */
export function liveJobRecord(core: CoreState, row: number): LiveJobRecord {
  const { jobs } = core;
  const cls = jobs.get('class', row);
  const placed = core.placed[jobs.get('placed', row)];
  const array = core.arrays.get(row);
  return {
    number: jobs.get('number', row),
    id: jobs.id(row),
    digest: jobs.digest(row),
    state: jobs.state(row),
    flags: jobs.flags(row) & JobFlag.durable,
    queue: (core.queues[jobs.get('queue', row)] as Queue).name,
    definition: core.definitionPins.get(jobs.get('definition', row)),
    user: core.users.get(jobs.get('user', row)),
    submittedBy: core.submitters.get(jobs.get('submitter', row)),
    priority: core.classes.priority[cls] as number,
    requirements: core.classes.requirements(cls),
    retry: core.retries.get(jobs.get('retry', row)),
    onNodeLost: jobs.onNodeLost(row),
    createdAtMs: jobs.get('createdAt', row),
    runnableAtMs: jobs.get('runnableAt', row),
    attempt: jobs.get('attempt', row),
    placed: placed === undefined ? undefined : placedRecord(placed),
    array: array && {
      ...array.rules,
      closed: array.closed,
      reason: array.reason,
      stopGraceSeconds: array.stopGraceSeconds,
    },
  };
}

export function placedRecord(placed: Placed): PlacedRecord {
  return {
    node: placed.node.name,
    incarnation: placed.incarnation,
    sequence: placed.sequence,
    epoch: placed.epoch,
    placedAtMs: placed.placedAtMs,
    startedAtMs: placed.startedAtMs,
    accepted: placed.accepted,
    stopReason: placed.stopReason,
    stopGraceSeconds: placed.stopGraceSeconds,
  };
}

/** What a view shows of a live job, or of a child of one. */
export function liveJob(core: CoreState, row: number, child = NONE): LiveJob {
  const { jobs } = core;
  const array = core.arrays.get(row);
  const queue = core.queues[jobs.get('queue', row)] as Queue;
  const cls = jobs.get('class', row);
  const placed = placedOf(core, row, child);
  return {
    id: jobs.id(row),
    number: jobs.get('number', row),
    account: queue.account,
    state: stateOf(core, row, child),
    queue: queue.name,
    definition: core.definitionPins.get(jobs.get('definition', row)),
    user: core.users.get(jobs.get('user', row)),
    submittedBy: core.submitters.get(jobs.get('submitter', row)),
    requirements: core.classes.requirements(cls),
    onNodeLost: jobs.onNodeLost(row),
    priority: core.classes.priority[cls] as number,
    held: jobs.has(row, JobFlag.held),
    cancelRequested: jobs.has(row, JobFlag.cancelRequested),
    terminateRequested: placed?.stopping ?? jobs.has(row, JobFlag.terminateRequested),
    createdAtMs: jobs.get('createdAt', row),
    runnableAtMs: jobs.get('runnableAt', row),
    placedAtMs: placed?.placedAtMs ?? 0,
    startedAtMs: placed?.startedAtMs ?? 0,
    attempt: attemptOf(core, row, child),
    node: placed?.node.name ?? '',
    nodeSilent: placed?.node.silent ?? false,
    waitingFor: jobs.get('openDependencies', row) + (child === NONE ? 0 : (array?.waitsFor?.[child] ?? 0)),
    reason: placed?.stopReason ?? (child === NONE ? (array?.reason ?? '') : ''),
    child,
    array:
      array === undefined || child !== NONE
        ? undefined
        : { size: array.size, counts: array.counts.slice(1), changedAtMs: array.changedAtMs },
  };
}
