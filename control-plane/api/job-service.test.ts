import { randomUUID } from 'node:crypto';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  CancelJobsRequestSchema,
  CancelMode,
  CancelOutcome,
  DependencyType,
  DeregisterJobDefinitionRequestSchema,
  DescribeJobsRequestSchema,
  GetJobRequestSchema,
  HoldJobsRequestSchema,
  type Job,
  JobState,
  type JobSummary,
  ListJobsRequestSchema,
  RegisterJobDefinitionRequestSchema,
  RuntimeKind,
  SubmitJobsRequestSchema,
  SubmitMode,
  WatchJobsRequestSchema,
} from '@galley/proto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EndCause } from '../core/types.ts';
import { createJobDefinitionService } from './job-definition-service.ts';
import { createJobService } from './job-service.ts';
import { call, jobRequest, startCluster, type TestCluster, TestNode } from './testing/cluster.ts';

let cluster: TestCluster;
let service: ReturnType<typeof createJobService>;
beforeEach(async () => {
  cluster = await startCluster();
  service = createJobService(cluster);
});
afterEach(() => cluster.close());

const submit = (init: Parameters<typeof jobRequest>[0] = {}) => service.submitJob(jobRequest(init), call());
const submitAll = (requests: ReturnType<typeof jobRequest>[], mode: SubmitMode = SubmitMode.EACH) =>
  service.submitJobs(create(SubmitJobsRequestSchema, { jobs: requests, mode }), call());
const get = async (job: string) => (await service.getJob(create(GetJobRequestSchema, { job }), call())).job as Job;
const list = async (init: MessageInitShape<typeof ListJobsRequestSchema> = {}) => {
  const { jobs = [], nextPageToken = '' } = await service.listJobs(create(ListJobsRequestSchema, init), call());
  return { jobs: jobs as JobSummary[], nextPageToken };
};
const cancel = (jobIds: string[], mode: CancelMode = CancelMode.TERMINATE) =>
  service.cancelJobs(create(CancelJobsRequestSchema, { jobIds, reason: 'enough', mode }), call());

describe('submit', () => {
  it('takes an image without a command: it may bring its own', async () => {
    const task = { container: { image: 'busybox:1' } };
    const request = jobRequest({ task });
    await service.submitJob(request, call());
    expect((await get(request.jobId)).task).toMatchObject({ command: [], container: { image: 'busybox:1' } });
  });

  it('shows what the job got', async () => {
    const request = jobRequest();
    expect(await service.submitJob(request, call())).toMatchObject({
      jobId: request.jobId,
      number: 1n,
      jobName: 'job',
      jobQueue: 'default',
      jobDefinition: 'default:1',
      resources: { milliVcpu: 1000n, memoryBytes: 2n ** 29n, pids: 4096 },
      existed: false,
      user: 'ann',
    });
  });

  it('answers a repeated request as it did first, even over a newer and a deregistered revision', async () => {
    const definitions = createJobDefinitionService(cluster);
    const register = (milliVcpu: bigint) =>
      definitions.registerJobDefinition(
        create(RegisterJobDefinitionRequestSchema, { name: 'd', task: { command: ['a'], resources: { milliVcpu } } }),
        call(),
      );
    await register(250n);
    const request = jobRequest({ jobDefinition: 'd', task: {} });
    await service.submitJob(request, call());
    await register(500n);
    const first = { number: 1n, jobDefinition: 'd:1', resources: { milliVcpu: 250n }, existed: true };
    expect(await service.submitJob({ ...request }, call())).toMatchObject(first);
    for (const jobDefinition of ['d:1', 'd:2']) {
      await definitions.deregisterJobDefinition(
        create(DeregisterJobDefinitionRequestSchema, { jobDefinition }),
        call(),
      );
    }
    expect(await service.submitJob({ ...request }, call())).toMatchObject(first);
    await expect(submit({ jobDefinition: 'd' })).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(submit({ jobDefinition: 'd:1' })).rejects.toMatchObject({ code: 'FAILED_PRECONDITION' });
  });

  it('takes one id for one request only', async () => {
    const request = jobRequest();
    await service.submitJob(request, call());
    const again = await service.submitJob({ ...request }, call());
    expect(again).toMatchObject({ number: 1n, existed: true, resources: { milliVcpu: 1000n } });
    const other = jobRequest({ jobId: request.jobId, jobName: 'other' });
    await expect(service.submitJob(other, call())).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
  });

  it('remembers the request of a job that is over', async () => {
    const request = jobRequest();
    await service.submitJob(request, call());
    await cancel([request.jobId]);
    expect(await service.submitJob({ ...request }, call())).toMatchObject({ number: 1n, existed: true });
    await expect(service.submitJob({ ...request, comment: 'x' }, call())).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
    });
  });

  it.each<[string, Parameters<typeof jobRequest>[0], { readonly code?: string; readonly message?: RegExp }]>([
    ['an unknown queue', { jobQueue: 'nope' }, { code: 'NOT_FOUND', message: /job queue "nope" does not exist/ }],
    ['an unknown definition', { jobDefinition: 'nope' }, { code: 'NOT_FOUND', message: /"nope" does not exist/ }],
    ['an unknown revision', { jobDefinition: 'default:7' }, { code: 'NOT_FOUND', message: /"default:7" does not/ }],
    ['no command', { task: {} }, { message: /task.command: at least one element.*got none/ }],
    ['a long command', { task: { command: ['x'.repeat(3e5)] } }, { message: /task.command.*262144 bytes, got 3000/ }],
    ['a reserved variable', { task: { command: ['a'], environment: { GALLEY_X: '1' } } }, { message: /reserved/ }],
    ['a relative directory', { task: { command: ['a'], workingDirectory: 'x' } }, { message: /absolute.*got "x"/ }],
    ['a NUL character', { task: { command: ['a\0b'] } }, { message: /task.command\[0\].*NUL/ }],
    [
      'a multi-node job',
      { multiNode: { numNodes: 2 } },
      { code: 'UNIMPLEMENTED', message: /^multi_node is part of the contract/ },
    ],
    [
      'a container without an image',
      { task: { runtime: RuntimeKind.CONTAINER } },
      { message: /container.image: is required/ },
    ],
    ['an image that is none', { task: { container: { image: '-v' } } }, { message: /name of an image, got "-v"/ }],
    ['volumes of a process', { task: { command: ['a'], volumes: [{ name: 'v' }] } }, { code: 'UNIMPLEMENTED' }],
    [
      'a mount of no volume',
      { task: { container: { image: 'i', mountPoints: [{ sourceVolume: 'v', containerPath: '/v' }] } } },
      { message: /mount_points\[0\].source_volume: there is no volume "v"/ },
    ],
    [
      'a relative host path',
      { task: { container: { image: 'i' }, volumes: [{ name: 'v', hostPath: 'v' }] } },
      { message: /volumes\[0\].host_path: must be an absolute path, got "v"/ },
    ],
    [
      'a network that only an engine knows',
      { task: { container: { image: 'i', networkMode: 'container:other' } } },
      { message: /network_mode: must be one of bridge, host, none, got "container:other"/ },
    ],
    [
      'registry credentials',
      { task: { container: { image: 'i', registryCredentials: 'x' } } },
      { code: 'UNIMPLEMENTED', message: /registry_credentials/ },
    ],
    ['a missing parameter', { task: { command: ['Ref::x'] } }, { message: /No parameter found for reference x/ }],
    ['N_TO_N', { dependsOn: [{ jobId: randomUUID(), type: DependencyType.N_TO_N }] }, { message: /array jobs/ }],
    ['an unknown dependency', { dependsOn: [{ jobId: randomUUID() }] }, { message: /no job has this id/ }],
    ['a dependency that is no id', { dependsOn: [{ jobId: '7' }] }, { message: /depends_on\[0\].job_id.*got "7"/ }],
    ['a reserved tag', { tags: { 'aws:x': '1' } }, { message: /aws: are reserved/ }],
  ])('refuses %s', async (_, init, error) => {
    const { code = 'INVALID_ARGUMENT', message = /./ } = error;
    await expect(submit(init)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
    expect((await list()).jobs).toEqual([]);
  });

  it('gives each job of a batch its own answer, in order', async () => {
    const requests = [jobRequest(), jobRequest({ jobQueue: 'nope' }), jobRequest({ task: {} }), jobRequest()];
    const { results = [] } = await submitAll(requests);
    expect(results.map((one) => one.result?.case)).toEqual(['job', 'error', 'error', 'job']);
    expect(results.map((one) => (one.result?.case === 'job' ? one.result.value.number : 0n))).toEqual([1n, 0n, 0n, 2n]);
  });

  it('answers thousands in one call, split over several turns', async () => {
    const requests = Array.from({ length: 2500 }, (_, at) => jobRequest({ jobName: `job-${at}` }));
    const { results = [] } = await submitAll(requests);
    expect(results.map((one) => (one.result?.case === 'job' ? Number(one.result.value.number) : 0))).toEqual(
      requests.map((_, at) => at + 1),
    );
  });

  it('takes all or none of an atomic call, whose jobs may depend on each other', async () => {
    const first = jobRequest();
    const second = jobRequest({ dependsOn: [{ jobId: first.jobId }] });
    await expect(submitAll([first, jobRequest({ jobQueue: 'nope' })], SubmitMode.ATOMIC)).rejects.toMatchObject({
      code: 'NOT_FOUND',
      violations: [{ field: 'jobs[1].job_queue' }],
    });
    await expect(submitAll([first, jobRequest({ task: {} })], SubmitMode.ATOMIC)).rejects.toMatchObject({
      violations: [{ field: 'jobs[1].task.command' }],
    });
    expect((await list()).jobs).toEqual([]);
    await submitAll([first, second], SubmitMode.ATOMIC);
    expect((await list()).jobs.map((job) => job.state)).toEqual([JobState.PENDING, JobState.RUNNABLE]);
    const many = Array.from({ length: 1001 }, () => jobRequest());
    await expect(submitAll(many, SubmitMode.ATOMIC)).rejects.toMatchObject({
      message: 'jobs: at most 1000 in an atomic call, got 1001',
    });
  });

  it('meets a dependency that is over by now', async () => {
    const node = await TestNode.connect(cluster);
    const [good, bad] = [await submit(), await submit()];
    await node.ended(await node.placed());
    await node.ended(await node.placed(), { exitCode: 1 });
    const waits = await submit({ dependsOn: [{ jobId: good.jobId ?? '' }], hold: true });
    const fails = await submit({ dependsOn: [{ jobId: bad.jobId ?? '' }] });
    expect((await get(`${waits.number}`)).summary).toMatchObject({ state: JobState.PENDING, held: true });
    expect((await get(`${fails.number}`)).summary).toMatchObject({
      state: JobState.FAILED,
      statusReason: 'Dependent Job failed',
      cause: EndCause.dependencyFailed,
    });
  });
});

describe('look', () => {
  it('finds a job by number, by id and by a unique beginning, alive and over', async () => {
    const jobId = 'abcd1234-0000-4000-8000-000000000001';
    const twin = 'abcd1234-0000-4000-8000-000000000002';
    await submit({ jobId });
    for (const reference of ['1', jobId, jobId.toUpperCase(), 'abcd', 'abcd1234-00']) {
      expect((await get(reference)).summary?.jobId).toBe(jobId);
    }
    await cancel([jobId]);
    for (const reference of ['1', jobId, 'abcd1']) expect((await get(reference)).summary?.state).toBe(JobState.FAILED);
    await submit({ jobId: twin });
    await expect(get('abcd1234')).rejects.toMatchObject({
      code: 'FAILED_PRECONDITION',
      reason: 'AMBIGUOUS',
      message: `"abcd1234" fits several jobs: ${twin}, ${jobId}`,
    });
    await expect(get('99')).rejects.toMatchObject({ code: 'NOT_FOUND', message: 'job "99" does not exist' });
    await expect(get('abce')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(get('abc')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(get('not an id')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it('tells everything of a job that was tried twice', async () => {
    const node = await TestNode.connect(cluster);
    const { jobId = '' } = await submit({
      task: { command: ['echo', 'Ref::what'] },
      parameters: { what: 'hello' },
      retryStrategy: { attempts: 2 },
      comment: 'mine',
    });
    const first = await node.placed();
    await node.running(first);
    expect((await get(jobId)).summary).toMatchObject({ state: JobState.RUNNING, node: 'node-1', attempts: 1 });
    await node.ended(first, { exitCode: 3 });
    const second = await node.placed();
    expect((await get(jobId)).attempts).toMatchObject([{ attempt: 1, exitCode: 3 }, { attempt: 2 }]);
    await node.ended(second);
    const job = await get(jobId);
    expect(job).toMatchObject({
      summary: { state: JobState.SUCCEEDED, attempts: 2, exitCode: 0, jobName: 'job', node: 'node-1' },
      request: { comment: 'mine', parameters: { what: 'hello' } },
      task: { command: ['echo', 'hello'], stopGraceSeconds: 30 },
      retryStrategy: { attempts: 2 },
      submittedBy: 'ann',
    });
    expect(job.attempts.map(({ attempt, exitCode }) => [attempt, exitCode])).toEqual([
      [1, 3],
      [2, 0],
    ]);
    expect(job.attempts[1]).toMatchObject({ peakMemoryBytes: 1_000_000n, cpuTimeUs: 500_000n, node: 'node-1' });
  });

  it('says why a job waits and for whom', async () => {
    const first = await submit({ hold: true });
    const second = await submit({ dependsOn: [{ jobId: first.jobId ?? '' }] });
    expect(await get(`${second.number}`)).toMatchObject({ waitingFor: [first.jobId] });
    expect((await get(`${first.number}`)).pendingReason).not.toBe('');
  });

  it('describes the ids that exist, in order', async () => {
    const [one, two] = [jobRequest(), jobRequest()];
    await submitAll([one, two]);
    await cancel([one.jobId]);
    const jobIds = [two.jobId, randomUUID(), one.jobId];
    const { jobs = [] } = await service.describeJobs(create(DescribeJobsRequestSchema, { jobIds }), call());
    expect(jobs.map((job) => job.summary?.jobId)).toEqual([two.jobId, one.jobId]);
  });
});

describe('long requests', () => {
  it('are listed, and described as many at a time as a message holds', async () => {
    const requests = Array.from({ length: 16 }, () => jobRequest({ task: { command: ['x'.repeat(200_000)] } }));
    await submitAll(requests);
    expect((await list()).jobs).toHaveLength(16);
    const jobIds = requests.map(({ jobId }) => jobId);
    const describeAll = (ids: string[]) =>
      service.describeJobs(create(DescribeJobsRequestSchema, { jobIds: ids }), call());
    await expect(describeAll(jobIds)).rejects.toMatchObject({
      message: expect.stringMatching(/^job_ids: .*ask for fewer$/),
    });
    expect((await describeAll(jobIds.slice(0, 8))).jobs).toHaveLength(8);
    expect((await get('1')).request?.task?.command[0]).toHaveLength(200_000);
  });
});

describe('list', () => {
  it('merges jobs alive and over, newest first, page by page, over changes in between', async () => {
    const requests = Array.from({ length: 25 }, (_, at) => jobRequest({ jobName: `job-${at + 1}` }));
    await submitAll(requests);
    await cancel(requests.filter((_, at) => at % 3 === 0).map(({ jobId }) => jobId));
    const seen: number[] = [];
    let pageToken = '';
    do {
      const { jobs, nextPageToken } = await list({ page: { pageSize: 7, pageToken } });
      for (const job of jobs) {
        expect(job.jobName).toBe(`job-${job.number}`);
        expect(job.state).toBe((job.number - 1n) % 3n === 0n ? JobState.FAILED : JobState.RUNNABLE);
      }
      seen.push(...jobs.map((job) => Number(job.number)));
      // What comes and goes between two pages moves no row.
      await submit();
      pageToken = nextPageToken;
    } while (pageToken !== '');
    expect(seen).toEqual(requests.map((_, at) => 25 - at));
  });

  it('filters by state, queue, user, definition, name and time', async () => {
    const before = Date.now();
    await submitAll([
      jobRequest({ jobName: 'alpha' }),
      jobRequest({ jobName: 'Beta-1', task: { command: ['a'], runAs: { user: 'bob' } } }),
      jobRequest({ jobName: 'beta-2' }),
    ]);
    const [last] = (await list()).jobs;
    await cancel([last?.jobId ?? '']);
    const names = async (init: MessageInitShape<typeof ListJobsRequestSchema>) =>
      (await list(init)).jobs.map((job) => job.jobName);
    expect(await names({ states: [JobState.RUNNABLE] })).toEqual(['Beta-1', 'alpha']);
    expect(await names({ states: [JobState.FAILED] })).toEqual(['beta-2']);
    expect(await names({ states: [JobState.FAILED, JobState.RUNNABLE] })).toHaveLength(3);
    expect(await names({ user: 'bob' })).toEqual(['Beta-1']);
    expect(await names({ jobName: 'BETA*' })).toEqual(['beta-2', 'Beta-1']);
    expect(await names({ jobName: 'beta-1' })).toEqual(['Beta-1']);
    expect(await names({ jobDefinition: 'default' })).toHaveLength(3);
    expect(await names({ jobDefinition: 'default:1' })).toHaveLength(3);
    expect(await names({ jobDefinition: 'default:2' })).toEqual([]);
    expect(await names({ jobQueue: 'other' })).toEqual([]);
    expect(await names({ createdAfterMs: BigInt(before) })).toHaveLength(3);
    expect(await names({ createdBeforeMs: BigInt(before) })).toEqual([]);
  });

  it('refuses a token of another list', async () => {
    await expect(list({ page: { pageToken: 'bm9uc2Vuc2U' } })).rejects.toMatchObject({
      violations: [{ field: 'page.page_token' }],
    });
  });
});

describe('watch and end', () => {
  it('tells the state of each job, then every change, and ends with the last job', async () => {
    const node = await TestNode.connect(cluster);
    const over = await submit();
    await node.ended(await node.placed());
    const alive = await submit();
    const place = await node.placed();
    const stranger = randomUUID();
    const watched = create(WatchJobsRequestSchema, { jobIds: [alive.jobId ?? '', over.jobId ?? '', stranger] });
    const seen: string[] = [];
    for await (const { jobs = [], unknownJobIds } of service.watchJobs(watched, call())) {
      if (seen.length === 0) {
        expect(unknownJobIds).toEqual([stranger]);
        await node.running(place);
        await node.ended(place);
      }
      seen.push(...jobs.map((job) => `${job.number} ${job.state}`));
    }
    expect(seen[0]).toBe(`2 ${JobState.STARTING}`);
    expect(seen[1]).toBe(`1 ${JobState.SUCCEEDED}`);
    expect(seen.at(-1)).toBe(`2 ${JobState.SUCCEEDED}`);
  });

  it('stops watching when the caller goes away', async () => {
    const { jobId = '' } = await submit();
    const caller = new AbortController();
    for await (const _ of service.watchJobs(create(WatchJobsRequestSchema, { jobIds: [jobId] }), call(caller.signal))) {
      caller.abort();
    }
  });

  it('ends jobs in whatever state they are and says what it did', async () => {
    const node = await TestNode.connect(cluster);
    const requests = [jobRequest(), jobRequest({ hold: true }), jobRequest()];
    await submitAll(requests);
    const [first, , third] = requests.map(({ jobId }) => jobId);
    const running = await node.placed();
    await node.running(running);
    await node.ended(await node.placed());
    const stranger = randomUUID();
    const ids = [...requests.map(({ jobId }) => jobId), stranger];
    const pending = await cancel(ids, CancelMode.PENDING_ONLY);
    expect(pending.results?.map((one) => one.outcome)).toEqual([
      CancelOutcome.LEFT_RUNNING,
      CancelOutcome.ENDED,
      CancelOutcome.ALREADY_ENDED,
      CancelOutcome.UNKNOWN_JOB,
    ]);
    const { results = [] } = await cancel([first ?? '', third ?? '']);
    expect(results.map((one) => one.outcome)).toEqual([CancelOutcome.STOPPING, CancelOutcome.ALREADY_ENDED]);
    await expect(cancel(['7'])).rejects.toMatchObject({ message: 'job_ids[0]: must be a UUID, got "7"' });
  });

  it('holds and releases', async () => {
    const { jobId = '' } = await submit();
    const ids = create(HoldJobsRequestSchema, { jobIds: [jobId] });
    expect(await service.holdJobs(ids, call())).toEqual({ heldJobIds: [jobId] });
    expect((await get(jobId)).summary).toMatchObject({ state: JobState.PENDING, held: true });
    expect(await service.releaseJobs(ids as never, call())).toEqual({ releasedJobIds: [jobId] });
    expect((await get(jobId)).summary?.state).toBe(JobState.RUNNABLE);
  });

  it('names what is not built', async () => {
    await expect(service.pauseJobs({} as never, call())).rejects.toMatchObject({
      code: 'UNIMPLEMENTED',
      reason: 'NOT_BUILT',
    });
    const exec = service.execJob((async function* () {})(), call())[Symbol.asyncIterator]();
    await expect(exec.next()).rejects.toMatchObject({ code: 'UNIMPLEMENTED' });
  });
});
