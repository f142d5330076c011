import { setImmediate } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import { type AttemptRecord, AttemptRecordSchema, type HistoryService, JobState } from '@galley/proto';
import type { HistoryRecord } from '../core/view.ts';
import type { Handlers } from '../server/handler.ts';
import { type HistoryPosition, scanHistory } from './history-scan.ts';
import { HistoryTotals } from './history-summary.ts';
import { jobIdText } from './job-lookup.ts';
import { toResourcesOf } from './job-messages.ts';
import type { ApiParts } from './parts.ts';
import { readLabels, type SpecLabels } from './specs.ts';
import { makeToken, pageSizeOf, readToken } from './tokens.ts';

/** Records that are looked at for one page; one that reached it may be short and still have a next one. */
const SCAN_BUDGET_RECORDS = 50_000;

const LIST = 'attempt_records';

/** The compact record that every attempt leaves. */
export function createHistoryService({ turns }: Pick<ApiParts, 'turns'>): Handlers<typeof HistoryService> {
  return {
    listAttemptRecords: async (request, { signal }) => {
      const pageSize = pageSizeOf(request);
      const records: HistoryRecord[] = [];
      let looked = 0;
      let next: HistoryPosition | undefined;
      scan: for await (const page of scanHistory(turns.store, request.filter, startOf(request))) {
        signal.throwIfAborted();
        for (const { record, position } of page) {
          looked++;
          if (record !== undefined) records.push(record);
          if (records.length === pageSize || looked === SCAN_BUDGET_RECORDS) {
            next = position;
            break scan;
          }
        }
      }
      const labels = await readLabels(turns.store, records);
      return {
        records: records.map((record, at) => toRecord(record, labels[at])),
        nextPageToken:
          next === undefined ? '' : makeToken(LIST, [next.stoppedAtMs, next.number, next.attempt, next.child + 1]),
      };
    },

    summarizeAttemptRecords: async (request, { signal }) => {
      const totals = new HistoryTotals(request.groupBy);
      for await (const page of scanHistory(turns.store, request.filter, undefined)) {
        for (const { record } of page) if (record !== undefined) totals.add(record);
        signal.throwIfAborted();
        // Others get their turn between two pages, however long the history is.
        await setImmediate();
      }
      return { groups: totals.groups };
    },
  };
}

function startOf(request: Parameters<typeof readToken>[1]): HistoryPosition | undefined {
  const token = readToken(LIST, request, ['number', 'number', 'number', 'number']);
  if (token === undefined) return undefined;
  const [stoppedAtMs, number, attempt, childAfter] = token;
  return { stoppedAtMs, number, attempt, child: childAfter - 1 };
}

function toRecord(record: HistoryRecord, labels: SpecLabels | undefined): AttemptRecord {
  const message = create(AttemptRecordSchema, {
    jobId: jobIdText({ id: record.jobId, child: record.child }),
    number: BigInt(record.number),
    attempt: record.attempt,
    account: record.account,
    user: record.user,
    jobName: labels?.jobName ?? '',
    jobQueue: record.queue,
    jobDefinition: record.definition,
    node: record.node,
    project: labels?.project ?? '',
    createdAtMs: BigInt(record.createdAtMs),
    placedAtMs: BigInt(record.placedAtMs),
    startedAtMs: BigInt(record.startedAtMs),
    stoppedAtMs: BigInt(record.stoppedAtMs),
    state: record.succeeded ? JobState.SUCCEEDED : JobState.FAILED,
    cause: record.cause,
  });
  message.allocated = toResourcesOf({
    milliVcpu: record.milliVcpu,
    memoryBytes: record.memoryBytes,
    named: [],
    features: [],
  });
  if (record.child >= 0) message.arrayIndex = record.child;
  if (record.exitCode !== undefined) message.exitCode = record.exitCode;
  if (record.signal !== undefined) message.signal = record.signal;
  if (record.peakMemoryBytes !== undefined) message.peakMemoryBytes = BigInt(record.peakMemoryBytes);
  if (record.cpuTimeUs !== undefined) message.cpuTimeUs = BigInt(record.cpuTimeUs);
  return message;
}
