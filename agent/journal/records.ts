import { fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  type AttemptId,
  AttemptIdSchema,
  type AttemptReport,
  AttemptReportSchema,
  type Placement,
  PlacementSchema,
  type StorePosition,
  StorePositionSchema,
} from '@galley/proto';
import { JournalError } from './errors.ts';

/** When a placement arrived: the boot of the host that it was in, and milliseconds since that boot. */
export interface Arrival {
  readonly bootId: string;
  readonly uptimeMs: number;
}

/** What the journal is made of. A record is one byte for its kind, then the value. */
export type JournalRecord =
  /** The first record of a state directory. */
  | { readonly kind: 'identity'; readonly format: number; readonly incarnation: string }
  | { readonly kind: 'cluster'; readonly clusterId: string }
  /** The highest position of the store that this agent was ever sent. */
  | { readonly kind: 'witness'; readonly position: StorePosition }
  /** The epoch that has been told the complete history. */
  | { readonly kind: 'epoch'; readonly epoch: bigint }
  | { readonly kind: 'watermark'; readonly sequence: bigint }
  /** The attempt may be started from here on. */
  | { readonly kind: 'intent'; readonly placement: Placement; readonly arrival: Arrival }
  /** The attempt has ended or was rejected: its last report. */
  | { readonly kind: 'end'; readonly report: AttemptReport; readonly endedAtMs: number }
  /** The control plane has the end that this placement of the attempt came to: a rejected one may be placed again. */
  | { readonly kind: 'acked'; readonly id: AttemptId; readonly placementSequence: bigint };

export const JOURNAL_FORMAT = 1;

const KINDS = ['identity', 'cluster', 'witness', 'epoch', 'watermark', 'intent', 'end', 'acked'] as const;

export function encodeRecord(record: JournalRecord): Uint8Array {
  return Buffer.concat([Buffer.of(KINDS.indexOf(record.kind) + 1), encodeValue(record)]);
}

function encodeValue(record: JournalRecord): Uint8Array {
  switch (record.kind) {
    case 'identity':
      return json({ format: record.format, incarnation: record.incarnation });
    case 'cluster':
      return json({ clusterId: record.clusterId });
    case 'witness':
      return toBinary(StorePositionSchema, record.position);
    case 'epoch':
      return int64(record.epoch);
    case 'watermark':
      return int64(record.sequence);
    case 'intent': {
      const arrival = json(record.arrival);
      return Buffer.concat([Buffer.of(arrival.length), arrival, toBinary(PlacementSchema, record.placement)]);
    }
    case 'end':
      return encodeEnd(record.report, record.endedAtMs);
    case 'acked':
      return Buffer.concat([int64(record.placementSequence), toBinary(AttemptIdSchema, record.id)]);
  }
}

export function decodeRecord(payload: Uint8Array): JournalRecord {
  const kind = KINDS[(payload[0] ?? 0) - 1];
  // A copy: byte fields are views of what was decoded, and would keep a whole file in memory.
  const bytes = new Uint8Array(payload).subarray(1);
  const value = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (kind === undefined) {
    throw new JournalError(
      'UNREADABLE',
      `the journal has a record of kind ${payload[0]}, which this version does not know`,
    );
  }
  switch (kind) {
    case 'identity': {
      const { format, incarnation } = parse(value);
      return { kind, format: Number(format), incarnation: String(incarnation) };
    }
    case 'cluster':
      return { kind, clusterId: String(parse(value)['clusterId']) };
    case 'witness':
      return { kind, position: fromBinary(StorePositionSchema, bytes) };
    case 'epoch':
      return { kind, epoch: value.readBigInt64LE() };
    case 'watermark':
      return { kind, sequence: value.readBigInt64LE() };
    case 'intent': {
      const length = value[0] ?? 0;
      const arrival = parse(value.subarray(1, 1 + length));
      return {
        kind,
        placement: fromBinary(PlacementSchema, bytes.subarray(1 + length)),
        arrival: { bootId: String(arrival['bootId']), uptimeMs: Number(arrival['uptimeMs']) },
      };
    }
    case 'end':
      return { kind, ...decodeEnd(bytes) };
    case 'acked':
      return {
        kind,
        placementSequence: value.readBigInt64LE(),
        id: fromBinary(AttemptIdSchema, bytes.subarray(8)),
      };
  }
}

/** A report and when, on the wall clock, its attempt ended; also what the history of acked attempts is made of. */
export function encodeEnd(report: AttemptReport, endedAtMs: number): Uint8Array {
  return Buffer.concat([int64(BigInt(Math.round(endedAtMs))), toBinary(AttemptReportSchema, report)]);
}

export function decodeEnd(value: Uint8Array): { report: AttemptReport; endedAtMs: number } {
  const buffer = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  return {
    endedAtMs: Number(buffer.readBigInt64LE()),
    report: fromBinary(AttemptReportSchema, value.subarray(8)),
  };
}

function int64(value: bigint): Buffer {
  const buffer = Buffer.allocUnsafe(8);
  buffer.writeBigInt64LE(value);
  return buffer;
}

function json(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function parse(value: Buffer): Record<string, unknown> {
  return JSON.parse(value.toString()) as Record<string, unknown>;
}
