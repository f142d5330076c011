import {
  HistoryGroup,
  HistoryService,
  ListAttemptRecordsResponseSchema,
  SummarizeAttemptRecordsResponseSchema,
} from '@galley/proto';
import { pages } from './pages.ts';
import { toPlain } from './plain.ts';
import type { RequestOptions, Transport } from './transport.ts';
import type { AttemptRecord, HistorySummary } from './types.ts';

/** Which attempts; times are those of the attempt's end. */
export interface HistoryFilter {
  readonly user?: string;
  readonly jobQueue?: string;
  readonly node?: string;
  readonly sinceMs?: number;
  readonly untilMs?: number;
}

export type HistoryGroupName = Exclude<keyof typeof HistoryGroup, 'UNSPECIFIED'>;

export function historyMethods(transport: Transport) {
  const service = transport.service(HistoryService);

  const toFilter = (filter: HistoryFilter) => ({
    account: transport.options.account,
    user: filter.user ?? '',
    jobQueue: filter.jobQueue ?? '',
    node: filter.node ?? '',
    sinceMs: BigInt(filter.sinceMs ?? 0),
    untilMs: BigInt(filter.untilMs ?? 0),
  });

  /** Newest first. */
  function listAttemptRecords(filter: HistoryFilter = {}, options?: RequestOptions): AsyncGenerator<AttemptRecord> {
    return pages(async (page) => {
      const request = { filter: toFilter(filter), page };
      const answer = await transport.call('safe', (call) => service.listAttemptRecords(request, call), options);
      const { records, nextPageToken } = toPlain(ListAttemptRecordsResponseSchema, answer);
      return { items: records as AttemptRecord[], nextPageToken };
    });
  }

  /** What was allocated and used, by user, queue, definition, node or day. */
  async function summarizeAttemptRecords(
    groupBy: HistoryGroupName,
    filter: HistoryFilter = {},
    options?: RequestOptions,
  ): Promise<HistorySummary[]> {
    const request = { filter: toFilter(filter), groupBy: HistoryGroup[groupBy] };
    const answer = await transport.call('safe', (call) => service.summarizeAttemptRecords(request, call), options);
    return toPlain(SummarizeAttemptRecordsResponseSchema, answer).groups;
  }

  return { listAttemptRecords, summarizeAttemptRecords };
}
