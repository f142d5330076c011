import { type AttemptId, AttemptPhase, type AttemptReport as ReportMessage } from '@galley/proto';
import { status } from '@grpc/grpc-js';
import { type AttemptKey, type AttemptOutcome, type AttemptReport, EndCause } from '../core/types.ts';
import { AgentPlaneError } from './errors.ts';

const JOB_ID_BYTES = 16;
/** Of AWS's container-level text. */
const MAX_REASON_CHARS = 255;
const MAX_DIGEST_CHARS = 128;
const CAUSES: ReadonlySet<number> = new Set(Object.values(EndCause));

/** An agent's report as the core takes it. Throws `INVALID_ARGUMENT` when it breaks the protocol. */
export function toReport(message: ReportMessage): AttemptReport {
  const { jobId, childIndex, attempt } = toAttemptKey(message.id);
  const phase = toPhase(message.phase);
  return {
    jobId,
    childIndex,
    attempt,
    phase,
    startDelayMs: duration(message.startDelayMs),
    runDurationMs: duration(message.runDurationMs),
    ageMs: duration(message.ageMs),
    outcome: phase === 'ended' ? toOutcome(message) : undefined,
    rejection:
      phase === 'rejected' ? { reason: shorten(message.reason), retryAfterMs: message.retryAfterMs } : undefined,
    placementSequence: Number(message.placementSequence),
    jobName: message.jobName,
    jobNumber: Number(message.jobNumber),
    resourcesReleased: message.resourcesReleased,
  };
}

function toAttemptKey(id: AttemptId | undefined): AttemptKey {
  if (id === undefined || id.jobId.byteLength !== JOB_ID_BYTES || id.attempt < 1) {
    const got = id === undefined ? 'nothing' : `${id.jobId.byteLength} bytes and attempt ${id.attempt}`;
    throw new AgentPlaneError(
      status.INVALID_ARGUMENT,
      `a report names a job by ${JOB_ID_BYTES} bytes and an attempt from 1, got ${got}`,
    );
  }
  return { jobId: id.jobId, childIndex: Math.max(-1, id.childIndex), attempt: id.attempt };
}

function toPhase(phase: AttemptPhase): AttemptReport['phase'] {
  switch (phase) {
    case AttemptPhase.ACCEPTED:
      return 'accepted';
    case AttemptPhase.RUNNING:
      return 'running';
    case AttemptPhase.ENDED:
      return 'ended';
    case AttemptPhase.REJECTED:
      return 'rejected';
    default:
      throw new AgentPlaneError(status.INVALID_ARGUMENT, `a report has phase 1 to 4, got ${phase}`);
  }
}

function toOutcome(message: ReportMessage): AttemptOutcome {
  return {
    cause: CAUSES.has(message.cause) ? (message.cause as EndCause) : EndCause.none,
    exitCode: message.exitCode,
    signal: message.signal,
    reason: shorten(message.reason),
    peakMemoryBytes: count(message.peakMemoryBytes),
    cpuTimeUs: count(message.cpuTimeUs),
    logLengths: message.logLengths.map((length) => Math.max(0, Number(length))),
    imageDigest: message.imageDigest.slice(0, MAX_DIGEST_CHARS),
  };
}

function shorten(reason: string): string {
  return reason.slice(0, MAX_REASON_CHARS);
}

function count(value: bigint | undefined): number | undefined {
  return value === undefined ? undefined : Math.max(0, Number(value));
}

/** Milliseconds; a clock that ran backwards is not passed on. */
function duration(value: bigint): number {
  return Math.max(0, Number(value));
}
