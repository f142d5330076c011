import { create } from '@bufbuild/protobuf';
import { HistoryGroup, type HistorySummary, HistorySummarySchema } from '@galley/proto';
import type { HistoryRecord } from '../core/view.ts';
import { ApiError } from './errors.ts';

/** Groups of one summary. */
export const MAX_HISTORY_GROUPS = 10_000;

const GIB = 2 ** 30;

/** Sums of fractions in binary say 25.140000000000004; a spreadsheet of somebody's bill should not. */
const DECIMALS = 1e6;

/** Adds up attempts by what they have in common. */
export class HistoryTotals {
  readonly #group: HistoryGroup;
  readonly #byKey = new Map<string, HistorySummary>();

  constructor(group: HistoryGroup) {
    this.#group = group;
  }

  add(record: HistoryRecord): void {
    const summary = this.#summary(groupKey(this.#group, record));
    // An attempt that never ran used nothing; its times are not spent.
    const seconds = record.startedAtMs === 0 ? 0 : Math.max(0, record.stoppedAtMs - record.startedAtMs) / 1000;
    summary.attempts += 1n;
    if (record.succeeded) summary.succeeded += 1n;
    else summary.failed += 1n;
    summary.runSeconds += seconds;
    summary.allocatedVcpuSeconds += (seconds * record.milliVcpu) / 1000;
    summary.allocatedGibSeconds += (seconds * record.memoryBytes) / GIB;
    summary.usedCpuSeconds += (record.cpuTimeUs ?? 0) / 1e6;
  }

  /** By key. */
  get groups(): HistorySummary[] {
    return [...this.#byKey.values()].map(rounded).sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  #summary(key: string): HistorySummary {
    const found = this.#byKey.get(key);
    if (found !== undefined) return found;
    if (this.#byKey.size === MAX_HISTORY_GROUPS) {
      throw new ApiError('RESOURCE_EXHAUSTED', `more than ${MAX_HISTORY_GROUPS} groups; narrow the filter`);
    }
    const summary = create(HistorySummarySchema, { key });
    this.#byKey.set(key, summary);
    return summary;
  }
}

function rounded(summary: HistorySummary): HistorySummary {
  const round = (value: number) => Math.round(value * DECIMALS) / DECIMALS;
  return {
    ...summary,
    runSeconds: round(summary.runSeconds),
    allocatedVcpuSeconds: round(summary.allocatedVcpuSeconds),
    allocatedGibSeconds: round(summary.allocatedGibSeconds),
    usedCpuSeconds: round(summary.usedCpuSeconds),
  };
}

function groupKey(group: HistoryGroup, record: HistoryRecord): string {
  switch (group) {
    case HistoryGroup.JOB_QUEUE:
      return record.queue;
    case HistoryGroup.JOB_DEFINITION:
      return record.definition;
    case HistoryGroup.NODE:
      return record.node;
    case HistoryGroup.DAY:
      return new Date(record.stoppedAtMs).toISOString().slice(0, 10);
    default:
      return record.user;
  }
}
