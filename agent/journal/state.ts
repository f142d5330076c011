import type { AttemptReport, Placement, StorePosition } from '@galley/proto';
import { type AttemptKey, attemptKey } from './attempt-key.ts';
import { JournalError } from './errors.ts';
import { type Arrival, JOURNAL_FORMAT, type JournalRecord } from './records.ts';

/**
 * An attempt that the journal holds. `open`: its intent is durable and no end is known; it may be started, or run. `ended`:
 * it ran, failed to start, or was rejected, and the control plane has not confirmed that it knows. An acked one is in the
 * history instead.
 */
export type HeldAttempt =
  | { readonly state: 'open'; readonly placement: Placement; readonly arrival: Arrival }
  | { readonly state: 'ended'; readonly report: AttemptReport; readonly endedAtMs: number };

/** What the records of a journal add up to. */
export interface JournalState {
  /** Empty in a new journal. */
  incarnation: string;
  clusterId: string;
  witness: StorePosition | undefined;
  epoch: bigint;
  watermark: bigint;
  readonly attempts: Map<AttemptKey, HeldAttempt>;
}

export function emptyState(): JournalState {
  return { incarnation: '', clusterId: '', witness: undefined, epoch: 0n, watermark: 0n, attempts: new Map() };
}

/** Positions order by epoch, then sequence. */
export function isAfter(position: StorePosition, other: StorePosition | undefined): boolean {
  if (other === undefined) return true;
  return position.epoch > other.epoch || (position.epoch === other.epoch && position.sequence > other.sequence);
}

/** Applies one record. Records repeat without harm: an end or an ack that is written twice counts once. */
export function applyRecord(state: JournalState, record: JournalRecord): void {
  switch (record.kind) {
    case 'identity':
      if (record.format !== JOURNAL_FORMAT) {
        const message = `the journal has format ${record.format}; this version of the agent reads ${JOURNAL_FORMAT}`;
        throw new JournalError('UNREADABLE', message);
      }
      state.incarnation = record.incarnation;
      return;
    case 'cluster':
      state.clusterId = record.clusterId;
      return;
    case 'witness':
      if (isAfter(record.position, state.witness)) state.witness = record.position;
      return;
    case 'epoch':
      state.epoch = record.epoch;
      return;
    case 'watermark':
      raiseWatermark(state, record.sequence);
      return;
    case 'intent': {
      const { placement, arrival } = record;
      raiseWatermark(state, placement.sequence);
      if (placement.id !== undefined) {
        state.attempts.set(attemptKey(placement.id), { state: 'open', placement, arrival });
      }
      return;
    }
    case 'end': {
      const { report, endedAtMs } = record;
      raiseWatermark(state, report.placementSequence);
      if (report.id !== undefined) state.attempts.set(attemptKey(report.id), { state: 'ended', report, endedAtMs });
      return;
    }
    case 'acked': {
      const key = attemptKey(record.id);
      const attempt = state.attempts.get(key);
      const same = attempt?.state === 'ended' && attempt.report.placementSequence === record.placementSequence;
      if (same) state.attempts.delete(key);
      return;
    }
  }
}

/** The shortest journal that adds up to this state. */
export function* snapshotRecords(state: JournalState): Generator<JournalRecord> {
  yield { kind: 'identity', format: JOURNAL_FORMAT, incarnation: state.incarnation };
  if (state.clusterId !== '') yield { kind: 'cluster', clusterId: state.clusterId };
  if (state.witness !== undefined) yield { kind: 'witness', position: state.witness };
  if (state.epoch !== 0n) yield { kind: 'epoch', epoch: state.epoch };
  yield { kind: 'watermark', sequence: state.watermark };
  for (const attempt of state.attempts.values()) {
    if (attempt.state === 'open') {
      yield { kind: 'intent', placement: attempt.placement, arrival: attempt.arrival };
    } else {
      yield { kind: 'end', report: attempt.report, endedAtMs: attempt.endedAtMs };
    }
  }
}

function raiseWatermark(state: JournalState, sequence: bigint): void {
  if (sequence > state.watermark) state.watermark = sequence;
}
