import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  type AttemptRecord,
  EndCause as EndCauseMessage,
  type HistoryFilterSchema,
  HistoryGroup,
  JobState,
  ListAttemptRecordsRequestSchema,
  SummarizeAttemptRecordsRequestSchema,
} from '@galley/proto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createHistoryService } from './history-service.ts';
import { createJobService } from './job-service.ts';
import { call, jobRequest, startCluster, type TestCluster, TestNode } from './testing/cluster.ts';

let cluster: TestCluster;
let history: ReturnType<typeof createHistoryService>;
beforeEach(async () => {
  cluster = await startCluster();
  history = createHistoryService(cluster);
  const jobs = createJobService(cluster);
  const node = await TestNode.connect(cluster);
  for (const [at, exitCode] of [0, 1, 0, 0, 1].entries()) {
    await jobs.submitJob(
      { ...jobRequest({ jobName: `job-${at + 1}` }) },
      { ...call(), principal: at < 3 ? 'ann' : 'bob' },
    );
    const place = await node.placed();
    await node.running(place);
    await node.ended(place, { exitCode });
  }
});
afterEach(() => cluster.close());

type Filter = Omit<MessageInitShape<typeof HistoryFilterSchema>, '$typeName'>;
const list = async (filter: Filter = {}, page = {}) => {
  const request = create(ListAttemptRecordsRequestSchema, { filter, page });
  const { records = [], nextPageToken = '' } = await history.listAttemptRecords(request, call());
  return { records: records as AttemptRecord[], nextPageToken };
};
const numbers = async (filter: Filter) => (await list(filter)).records.map((record) => Number(record.number));

describe('attempt records', () => {
  it('are listed newest first with what was allocated and used', async () => {
    const { records } = await list();
    expect(records.map(({ number }) => Number(number))).toEqual([5, 4, 3, 2, 1]);
    expect(records[0]).toMatchObject({
      attempt: 1,
      user: 'bob',
      jobName: 'job-5',
      jobQueue: 'default',
      jobDefinition: 'default:1',
      node: 'node-1',
      state: JobState.FAILED,
      cause: EndCauseMessage.EXITED,
      exitCode: 1,
      allocated: { milliVcpu: 1000n, memoryBytes: 2n ** 29n },
      cpuTimeUs: 500_000n,
      peakMemoryBytes: 1_000_000n,
    });
  });

  it('are filtered by user, queue, node and time', async () => {
    expect(await numbers({ user: 'ann' })).toEqual([3, 2, 1]);
    expect(await numbers({ node: 'node-2' })).toEqual([]);
    expect(await numbers({ jobQueue: 'default', user: 'bob' })).toEqual([5, 4]);
    const [newest] = (await list()).records;
    const at = newest?.stoppedAtMs ?? 0n;
    expect(await numbers({ sinceMs: at + 1n })).toEqual([]);
    expect(await numbers({ untilMs: at + 1n })).toHaveLength(5);
    expect(await numbers({ untilMs: 1n })).toEqual([]);
  });

  it('come page by page', async () => {
    const seen: number[] = [];
    let pageToken = '';
    do {
      const { records, nextPageToken } = await list({}, { pageSize: 2, pageToken });
      seen.push(...records.map(({ number }) => Number(number)));
      pageToken = nextPageToken;
    } while (pageToken !== '');
    expect(seen).toEqual([5, 4, 3, 2, 1]);
  });

  it.each<[HistoryGroup, [string, bigint, bigint][]]>([
    [
      HistoryGroup.USER,
      [
        ['ann', 2n, 1n],
        ['bob', 1n, 1n],
      ],
    ],
    [HistoryGroup.JOB_QUEUE, [['default', 3n, 2n]]],
    [HistoryGroup.JOB_DEFINITION, [['default:1', 3n, 2n]]],
    [HistoryGroup.NODE, [['node-1', 3n, 2n]]],
  ])('add up by group %s', async (groupBy, expected) => {
    const request = create(SummarizeAttemptRecordsRequestSchema, { groupBy });
    const { groups = [] } = await history.summarizeAttemptRecords(request, call());
    expect(groups.map(({ key, succeeded, failed }) => [key, succeeded, failed])).toEqual(expected);
  });

  it('add up time and size', async () => {
    const request = create(SummarizeAttemptRecordsRequestSchema, { groupBy: HistoryGroup.NODE });
    const [total] = (await history.summarizeAttemptRecords(request, call())).groups ?? [];
    expect(total?.attempts).toBe(5n);
    expect(total?.usedCpuSeconds).toBeCloseTo(2.5);
    expect(total?.allocatedVcpuSeconds).toBeCloseTo(total?.runSeconds ?? -1);
    expect(total?.allocatedGibSeconds).toBeCloseTo((total?.runSeconds ?? -1) / 2);
  });

  it('stop adding up when the caller went away', async () => {
    const caller = new AbortController();
    caller.abort();
    const request = create(SummarizeAttemptRecordsRequestSchema);
    await expect(history.summarizeAttemptRecords(request, call(caller.signal))).rejects.toThrow('abort');
  });
});
