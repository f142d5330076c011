import { create } from '@bufbuild/protobuf';
import { AttemptPhase, type AttemptReport, AttemptReportSchema, EndCause, type Placement } from '@galley/proto';
import type { Outcome } from '../runtimes/runtime.ts';

/** The control plane takes container-level reasons of so many characters. */
const MAX_REASON_CHARACTERS = 255;

/** Reasons by which this agent stops a job of its own accord; the cause follows from them, also after a restart. */
export const LEASE_EXPIRED = 'Lease expired: the control plane did not answer';
export const DISK_FULL = 'Disk full: stopped because its output was filling the disk of the node';

/** What of a report is known from the placement on. */
export function reportBase(placement: Placement) {
  return {
    ...(placement.id === undefined ? {} : { id: placement.id }),
    placementSequence: placement.sequence,
    jobName: placement.jobName,
    jobNumber: placement.jobNumber,
  };
}

/** The final report of an attempt that will never be started here. */
export function rejectedReport(placement: Placement, reason: string, retryAfterMs: number): AttemptReport {
  return create(AttemptReportSchema, {
    ...reportBase(placement),
    phase: AttemptPhase.REJECTED,
    reason: reason.slice(0, MAX_REASON_CHARACTERS),
    retryAfterMs,
    resourcesReleased: true,
  });
}

/** The final report of an attempt, without its log lengths; `startDelayMs` is counted from the placement's arrival. */
export function endedReport(placement: Placement, outcome: Outcome, startDelayMs: number): AttemptReport {
  return create(AttemptReportSchema, {
    ...reportBase(placement),
    phase: AttemptPhase.ENDED,
    startDelayMs: BigInt(Math.round(startDelayMs)),
    runDurationMs: BigInt(Math.round(outcome.runDurationMs ?? 0)),
    cause: endCause(outcome),
    reason: outcome.reason.slice(0, MAX_REASON_CHARACTERS),
    ...(outcome.exitCode === undefined ? {} : { exitCode: outcome.exitCode }),
    ...(outcome.signal === undefined ? {} : { signal: outcome.signal }),
    ...(outcome.peakMemoryBytes === undefined ? {} : { peakMemoryBytes: BigInt(outcome.peakMemoryBytes) }),
    imageDigest: outcome.imageDigest ?? '',
    ...(outcome.cpuTimeUs === undefined ? {} : { cpuTimeUs: BigInt(Math.round(outcome.cpuTimeUs)) }),
  });
}

function endCause(outcome: Outcome): EndCause {
  switch (outcome.cause) {
    case 'exited':
      return EndCause.EXITED;
    case 'signalled':
      return EndCause.SIGNALLED;
    case 'out_of_memory':
      return EndCause.OUT_OF_MEMORY;
    case 'timed_out':
      return EndCause.TIMED_OUT;
    case 'stopped':
      if (outcome.reason.startsWith(LEASE_EXPIRED)) return EndCause.NODE_LOST;
      if (outcome.reason.startsWith(DISK_FULL)) return EndCause.DISK_FULL;
      return EndCause.STOPPED;
    case 'launch_failed':
    case 'not_started':
      return EndCause.LAUNCH_FAILED;
    case 'lost':
      return EndCause.SUPERVISOR_LOST;
    case 'host_restarted':
      return EndCause.NODE_LOST;
  }
}
