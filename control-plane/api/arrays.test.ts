import { randomUUID } from 'node:crypto';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  CancelJobsRequestSchema,
  CancelOutcome,
  DependencyType,
  DescribeJobsRequestSchema,
  EndCause as EndCauseMessage,
  GetJobRequestSchema,
  type Job,
  JobState,
  type JobSummary,
  ListAttemptRecordsRequestSchema,
  ListJobsRequestSchema,
  ReadLogRequestSchema,
  RerunJobsRequestSchema,
  WatchJobsRequestSchema,
} from '@galley/proto';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EndCause, type PlaceOutput } from '../core/types.ts';
import { ArrayIndices, formatIndices } from './array-indices.ts';
import { createHistoryService } from './history-service.ts';
import { createJobService } from './job-service.ts';
import { createLogService } from './log-service.ts';
import { call, jobRequest, startCluster, type TestCluster, TestNode } from './testing/cluster.ts';

let cluster: TestCluster;
let service: ReturnType<typeof createJobService>;
beforeEach(async () => {
  cluster = await startCluster();
  service = createJobService(cluster);
});
afterEach(() => cluster.close());

const submit = (init: Parameters<typeof jobRequest>[0] = {}) => service.submitJob(jobRequest(init), call());
const get = async (job: string) => (await service.getJob(create(GetJobRequestSchema, { job }), call())).job as Job;
const children = async (arrayJobId: string, init: MessageInitShape<typeof ListJobsRequestSchema> = {}) => {
  const answer = await service.listJobs(create(ListJobsRequestSchema, { ...init, arrayJobId }), call());
  return { jobs: (answer.jobs ?? []) as JobSummary[], nextPageToken: answer.nextPageToken ?? '' };
};
const cancel = async (...jobIds: string[]) =>
  (await service.cancelJobs(create(CancelJobsRequestSchema, { jobIds, reason: 'enough' }), call())).results ?? [];

/** Runs an array of three: child 1 fails by itself, child 2 runs out of memory. */
async function threeChildren(init: Parameters<typeof jobRequest>[0] = {}) {
  const node = await TestNode.connect(cluster);
  const job = await submit({ array: { size: 3 }, ...init });
  const places = [await node.placed(), await node.placed(), await node.placed()] as const;
  await node.ended(places[0]);
  await node.ended(places[1], { cause: EndCause.exited, exitCode: 4, logLengths: [3] });
  await node.ended(places[2], { cause: EndCause.outOfMemory, exitCode: undefined, signal: 9 });
  return { node, job, id: job.jobId ?? '', places };
}

describe('an array job', () => {
  it('is shown with what its children do, and each child by its own id', async () => {
    const node = await TestNode.connect(cluster);
    const { jobId = '', number } = await submit({ array: { indices: '10-14:2' }, retryStrategy: { attempts: 2 } });
    const places = [await node.placed(), await node.placed(), await node.placed()] as const;
    expect(places.map(({ childIndex }) => childIndex)).toEqual([0, 1, 2]);
    await node.running(places[0]);
    await node.ended(places[1], { exitCode: 3 });
    const again = await node.placed();
    const parent = await get(`${number}`);
    expect(parent.summary).toMatchObject({ jobId, state: JobState.PENDING, array: { size: 3 } });
    expect(parent.summary?.array?.statusSummary).toMatchObject({ runnable: 0n, starting: 2n, running: 1n });
    expect(parent.attempts).toEqual([]);
    expect((await get(`${number}:0`)).summary).toMatchObject({
      jobId: `${jobId}:0`,
      state: JobState.RUNNING,
      arrayIndex: 0,
      givenIndex: 10,
      node: 'node-1',
      jobName: 'job',
    });
    await node.ended(again, { exitCode: 0 });
    const child = await get(`${jobId}:1`);
    expect(child.summary).toMatchObject({ state: JobState.SUCCEEDED, attempts: 2, exitCode: 0, givenIndex: 12 });
    expect(child.attempts.map(({ attempt, exitCode }) => [attempt, exitCode])).toEqual([
      [1, 3],
      [2, 0],
    ]);
    await node.ended(places[0]);
    await node.ended(places[2]);
    const over = await get(jobId);
    expect(over.summary).toMatchObject({ state: JobState.SUCCEEDED });
    expect(over.summary?.array?.statusSummary).toMatchObject({ running: 0n, succeeded: 3n, failed: 0n });
    const described = await service.describeJobs(
      create(DescribeJobsRequestSchema, { jobIds: [`${jobId}:1`, jobId, `${jobId}:3`] }),
      call(),
    );
    expect(described.jobs?.map(({ summary }) => summary?.jobId)).toEqual([`${jobId}:1`, jobId]);
  });

  it('names the mistake of a child that is not there, and of a job that is no array', async () => {
    const array = await submit({ array: { size: 2 } });
    const plain = await submit();
    await expect(get(`${array.number}:2`)).rejects.toMatchObject({ code: 'NOT_FOUND', message: /children are 0 to 1/ });
    await expect(get(`${plain.number}:0`)).rejects.toMatchObject({ code: 'NOT_FOUND', message: /is no array/ });
  });

  it.each([
    [{ array: {} }, 'array.size', '1 to 1000000, got 0'],
    [{ array: { size: 3, indices: '1-3' } }, 'array.size', 'not together with array.indices, got 3'],
    [{ array: { size: 3, canary: 4 } }, 'array.canary', 'got 4'],
    [{ array: { indices: '1-' } }, 'array.indices', 'got "1-"'],
    [{ array: { indices: '5,3' } }, 'array.indices', '3 comes after 5'],
    [{ array: { indices: '1-9:0' } }, 'array.indices', 'steps of 1 or more'],
    [{ array: { indices: '0-2000000' } }, 'array.indices', 'at most 1000000 children, got 2000001'],
    [{ dependsOn: [{ type: DependencyType.SEQUENTIAL }] }, 'depends_on[0].job_id', 'must be a UUID'],
  ] as const)('refuses %j, naming field, constraint and value', async (init, field, description) => {
    await expect(submit(init as Parameters<typeof jobRequest>[0])).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      violations: [{ field, description: expect.stringContaining(description) }],
    });
  });

  it('takes SEQUENTIAL and N_TO_N, in one atomic call too', async () => {
    const node = await TestNode.connect(cluster);
    const first = await submit({ array: { size: 2 }, dependsOn: [{ type: DependencyType.SEQUENTIAL }] });
    const jobId = first.jobId ?? '';
    await submit({ array: { size: 2 }, dependsOn: [{ jobId, type: DependencyType.N_TO_N }] });
    const other = submit({ array: { size: 3 }, dependsOn: [{ jobId, type: DependencyType.N_TO_N }] });
    await expect(other).rejects.toMatchObject({ violations: [{ field: 'depends_on[0].type' }] });
    const order: [number, number][] = [];
    for (let ended = 0; ended < 4; ended++) {
      const place = await node.placed();
      order.push([place.number, place.childIndex]);
      await node.ended(place);
    }
    expect(order[0]).toEqual([1, 0]);
    expect(order.map(String).sort()).toEqual(['1,0', '1,1', '2,0', '2,1']);
  });
});

describe('children', () => {
  it('are listed by state, page by page, while the array lives and after', async () => {
    const { node, id } = await (async () => {
      const connected = await TestNode.connect(cluster);
      const { jobId = '' } = await submit({ array: { size: 5, concurrency: 2 } });
      return { node: connected, id: jobId };
    })();
    const first = await node.placed();
    await node.placed().then((place) => node.ended(place, { exitCode: 1 }));
    const third = await node.placed();
    const states = async () => (await children(id)).jobs.map(({ arrayIndex, state }) => [arrayIndex, state]);
    expect(await states()).toEqual([
      [0, JobState.STARTING],
      [1, JobState.FAILED],
      [2, JobState.STARTING],
      [3, JobState.RUNNABLE],
      [4, JobState.RUNNABLE],
    ]);
    const page = await children(id, { states: [JobState.RUNNABLE], page: { pageSize: 1 } });
    expect(page.jobs).toMatchObject([{ jobId: `${id}:3` }]);
    const next = { pageSize: 1, pageToken: page.nextPageToken };
    expect((await children(id, { states: [JobState.RUNNABLE], page: next })).jobs).toMatchObject([
      { jobId: `${id}:4` },
    ]);
    await cancel(id);
    await node.ended(first, { cause: EndCause.stopped, exitCode: 143 });
    await node.ended(third, { cause: EndCause.exited, exitCode: 0 });
    expect((await get(id)).summary).toMatchObject({ state: JobState.FAILED, statusReason: 'enough' });
    const failed = await children(id, { states: [JobState.FAILED] });
    expect(failed.jobs).toMatchObject([
      { arrayIndex: 0, cause: EndCause.stopped },
      { arrayIndex: 1, exitCode: 1 },
      { arrayIndex: 3, cause: EndCause.stopped, statusReason: 'enough' },
      { arrayIndex: 4, cause: EndCause.stopped },
    ]);
    expect(failed.nextPageToken).toBe('');
    expect((await children(id, { states: [JobState.SUCCEEDED] })).jobs).toMatchObject([{ arrayIndex: 2 }]);
  });

  it('are cancelled one by one', async () => {
    const { jobId = '' } = await submit({ array: { size: 3 } });
    expect(await cancel(`${jobId}:1`, `${jobId}:3`)).toMatchObject([
      { outcome: CancelOutcome.ENDED, jobId: `${jobId}:1` },
      { outcome: CancelOutcome.UNKNOWN_JOB },
    ]);
    expect((await get(jobId)).summary?.array?.statusSummary).toMatchObject({ runnable: 2n, failed: 1n });
    expect(await cancel(`${jobId}:1`)).toMatchObject([
      { outcome: CancelOutcome.ALREADY_ENDED, state: JobState.FAILED },
    ]);
  });

  it('are watched by themselves, and their array tells its progress', async () => {
    const node = await TestNode.connect(cluster);
    const { jobId = '' } = await submit({ array: { size: 2 } });
    const places = [await node.placed(), await node.placed()] as [PlaceOutput, PlaceOutput];
    const watch = (id: string) => service.watchJobs(create(WatchJobsRequestSchema, { jobIds: [id] }), call());
    const seen = async (messages: AsyncIterable<{ jobs?: unknown }>) => {
      const all: JobSummary[] = [];
      for await (const { jobs } of messages) all.push(...((jobs ?? []) as JobSummary[]));
      return all;
    };
    const next = async (messages: AsyncIterator<{ jobs?: unknown }, unknown>) => {
      const message = await messages.next();
      return message.done === true ? [] : message.value.jobs;
    };
    const child = watch(`${jobId}:1`)[Symbol.asyncIterator]();
    expect(await next(child)).toMatchObject([{ jobId: `${jobId}:1`, state: JobState.STARTING }]);
    const parent = watch(jobId)[Symbol.asyncIterator]();
    expect(await next(parent)).toMatchObject([{ jobId, state: JobState.PENDING }]);
    const rest = Promise.all([
      seen({ [Symbol.asyncIterator]: () => child }),
      seen({ [Symbol.asyncIterator]: () => parent }),
    ]);
    await node.running(places[0]);
    await node.ended(places[1]);
    await node.ended(places[0]);
    const [ofChild, ofParent] = await rest;
    expect(ofChild).toMatchObject([{ jobId: `${jobId}:1`, state: JobState.SUCCEEDED }]);
    expect(ofParent.at(-1)).toMatchObject({ jobId, state: JobState.SUCCEEDED });
    expect(ofParent.length).toBeGreaterThan(1);
  });

  it('have logs of their own, and records in the history', async () => {
    const { id, places, job } = await threeChildren();
    const ref = { jobNumber: places[1].number, childIndex: 1, attempt: 1 };
    const data = Buffer.from('one');
    await cluster.logs.append([{ ref, stream: 'output', offset: 0, observedAtMs: 1, kind: 'data', data }]);
    const logs = createLogService(cluster);
    const read = (jobId: string) => logs.readLog(create(ReadLogRequestSchema, { log: { jobId } }), call());
    const { chunks = [] } = await read(`${job.number}:1`);
    expect(chunks.map((chunk) => Buffer.from(chunk.data ?? []).toString())).toEqual(['one']);
    await expect(read(id)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: /is an array; a child of it is 1:0 to 1:2/,
    });
    const history = createHistoryService(cluster);
    const { records = [] } = await history.listAttemptRecords(create(ListAttemptRecordsRequestSchema), call());
    expect(records.map(({ jobId, arrayIndex }) => [jobId, arrayIndex]).toSorted(byIndex)).toEqual([
      [`${id}:0`, 0],
      [`${id}:1`, 1],
      [`${id}:2`, 2],
    ]);
  });
});

const byIndex = ([, a = 0]: unknown[], [, b = 0]: unknown[]) => Number(a) - Number(b);

describe('running again', () => {
  const rerun = (init: MessageInitShape<typeof RerunJobsRequestSchema>) =>
    service.rerunJobs(create(RerunJobsRequestSchema, { rerunId: randomUUID(), ...init }), call());

  it('makes an array of the children that failed, with their indices as given', async () => {
    const { id } = await threeChildren({ array: { indices: '10-30:10', concurrency: 3 } });
    const { jobs = [] } = await rerun({ jobIds: [id] });
    expect(jobs).toHaveLength(1);
    const again = await get(jobs[0]?.jobId ?? '');
    expect(again.request?.array).toMatchObject({ indices: '20,30', size: 0, concurrency: 3 });
    expect(again.summary?.array?.size).toBe(2);
  });

  it('chooses children by cause, and gives them more memory', async () => {
    const { id } = await threeChildren();
    const memoryBytes = 2n ** 31n;
    const rerunId = randomUUID();
    const request = { jobIds: [id], causes: [EndCauseMessage.OUT_OF_MEMORY], resources: { memoryBytes }, rerunId };
    const { jobs = [] } = await rerun(request);
    const again = await get(jobs[0]?.jobId ?? '');
    expect(again.request?.array?.indices).toBe('2');
    expect(again.task?.resources).toMatchObject({ memoryBytes, milliVcpu: 1000n });
    // The same call again is the same job.
    expect((await rerun(request)).jobs).toMatchObject([{ jobId: jobs[0]?.jobId, existed: true }]);
  });

  it('takes children by name, and jobs that are no arrays', async () => {
    const { node, id } = await threeChildren();
    const { jobs = [] } = await rerun({ jobIds: [`${id}:0`, `${id}:2`] });
    expect((await get(jobs[0]?.jobId ?? '')).request?.array?.indices).toBe('0,2');
    for (let left = 0; left < 2; left++) await node.ended(await node.placed());
    const plain = await submit();
    await node.ended(await node.placed(), { exitCode: 1 });
    const again = (await rerun({ jobIds: [plain.jobId ?? ''] })).jobs ?? [];
    expect(again).toMatchObject([{ jobName: 'job', existed: false }]);
  });

  it('does nothing for what succeeded, and refuses what is not over', async () => {
    const node = await TestNode.connect(cluster);
    const job = await submit();
    const jobIds = [job.jobId ?? ''];
    await expect(rerun({ jobIds })).rejects.toMatchObject({ code: 'FAILED_PRECONDITION' });
    await node.ended(await node.placed());
    expect((await rerun({ jobIds })).jobs).toEqual([]);
  });
});

describe('indices', () => {
  it('are given and shown as ranges with steps', () => {
    expect(formatIndices([1, 3, 5, 7, 8, 9, 20])).toBe('1-7:2,8-9,20');
    const indices = new ArrayIndices('1-96:2', 'f');
    expect([indices.size, indices.at(0), indices.at(47)]).toEqual([48, 1, 95]);
    expect(Array.from({ length: 5 }, (_, child) => new ArrayIndices('1,5,7-9', 'f').at(child))).toEqual([
      1, 5, 7, 8, 9,
    ]);
  });

  it('are the same after they were written as a text and read', () => {
    const lists = fc.uniqueArray(fc.nat({ max: 1_000 }), { minLength: 1, maxLength: 100 });
    fc.assert(
      fc.property(lists, (list) => {
        const sorted = list.toSorted((a, b) => a - b);
        const read = new ArrayIndices(formatIndices(sorted), 'f');
        expect(Array.from({ length: read.size }, (_, child) => read.at(child))).toEqual(sorted);
      }),
    );
  });
});
