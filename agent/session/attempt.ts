import { create } from '@bufbuild/protobuf';
import { type AttemptId, AttemptPhase, type AttemptReport, AttemptReportSchema, type Placement } from '@galley/proto';
import type { AttemptKey } from '../journal/attempt-key.ts';
import type { Arrival } from '../journal/records.ts';
import { reportBase } from './reports.ts';

/**
 * Where an attempt stands on this node.
 *
 * - `accepting`: its intent (or its rejection) is being made durable. → `accepted`, `ended`
 * - `accepted`: durable, reported, waits for its turn to start. → `starting`, `ending` (stopped before it began)
 * - `starting`: in the runtime's hands. → `running`, `ending`
 * - `running`: its first instruction has run. → `ending`
 * - `ending`: over; the end is being made durable. → `ended`
 * - `ended`: durable and reported, kept until the control plane has it.
 */
export type Phase =
  | { readonly name: 'accepting' | 'accepted' | 'starting' }
  | { readonly name: 'running'; readonly startedAtUptimeMs: number }
  | { readonly name: 'ending' }
  | { readonly name: 'ended'; readonly report: AttemptReport };

export interface Attempt {
  readonly key: AttemptKey;
  readonly id: AttemptId;
  readonly arrival: Arrival;
  /** Absent once it has ended. */
  placement: Placement | undefined;
  phase: Phase;
  /** When `phase` changed last, ms since boot. */
  changedAtUptimeMs: number;
  /** A stop that came before the runtime had it: it is never started. */
  stopReason: string | undefined;
  /** The last report of an attempt that is never to begin, while that is being made durable. */
  rejected: AttemptReport | undefined;
  resourcesReleased: boolean;
}

/** The cumulative state, for sending at `nowUptimeMs`. Undefined while nothing may be said yet. */
export function attemptReport(attempt: Attempt, nowUptimeMs: number): AttemptReport | undefined {
  const { phase, placement } = attempt;
  const ageMs = BigInt(Math.max(0, Math.round(nowUptimeMs - attempt.changedAtUptimeMs)));
  if (phase.name === 'ended') {
    return create(AttemptReportSchema, { ...phase.report, ageMs, resourcesReleased: attempt.resourcesReleased });
  }
  if (phase.name === 'accepting' || placement === undefined) return undefined;
  const base = { ...reportBase(placement), id: attempt.id, ageMs };
  switch (phase.name) {
    case 'accepted':
    case 'starting':
      return create(AttemptReportSchema, { ...base, phase: AttemptPhase.ACCEPTED });
    case 'running':
      return create(AttemptReportSchema, {
        ...base,
        phase: AttemptPhase.RUNNING,
        startDelayMs: BigInt(startDelay(attempt.arrival, phase.startedAtUptimeMs)),
      });
    case 'ending':
      // What is not durable is not told; its running was.
      return undefined;
  }
}

/** Milliseconds from the arrival of the placement to the start; both on the boot clock. */
export function startDelay(arrival: Arrival, startedAtUptimeMs: number): number {
  return Math.max(0, Math.round(startedAtUptimeMs - arrival.uptimeMs));
}
