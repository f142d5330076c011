import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  AdmissionState,
  CreateComputeEnvironmentRequestSchema,
  CreateJobQueueRequestSchema,
  DeleteComputeEnvironmentRequestSchema,
  DeleteJobQueueRequestSchema,
  DeregisterJobDefinitionRequestSchema,
  DrainNodeRequestSchema,
  GetJobDefinitionRequestSchema,
  GetJobQueueSnapshotRequestSchema,
  GetNodeRequestSchema,
  InventorySchema,
  type JobDefinition,
  ListComputeEnvironmentsRequestSchema,
  ListJobDefinitionsRequestSchema,
  ListJobQueuesRequestSchema,
  NodeState,
  PlacementStrategy,
  RegisterJobDefinitionRequestSchema,
  UpdateComputeEnvironmentRequestSchema,
  UpdateJobQueueRequestSchema,
} from '@galley/proto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createComputeEnvironmentService } from './compute-environment-service.ts';
import { createJobDefinitionService } from './job-definition-service.ts';
import { createJobQueueService } from './job-queue-service.ts';
import { createJobService } from './job-service.ts';
import { createNodeService } from './node-service.ts';
import { call, jobRequest, startCluster, type TestCluster, TestNode } from './testing/cluster.ts';

let cluster: TestCluster;
beforeEach(async () => {
  cluster = await startCluster();
});
afterEach(() => cluster.close());

describe('job definitions', () => {
  const start = () => createJobDefinitionService(cluster);
  const register = (
    service: ReturnType<typeof start>,
    init: Partial<Pick<JobDefinition, 'name'>> & { milliVcpu?: bigint; requestId?: string } = {},
  ) =>
    service.registerJobDefinition(
      create(RegisterJobDefinitionRequestSchema, {
        name: init.name ?? 'd',
        requestId: init.requestId ?? '',
        task: { command: ['a'], resources: { milliVcpu: init.milliVcpu ?? 1n } },
      }),
      call(),
    );

  it('number their revisions, and a deregistered one takes no part', async () => {
    const service = start();
    expect((await register(service)).jobDefinition).toMatchObject({ name: 'd', revision: 1, active: true });
    expect((await register(service)).jobDefinition).toMatchObject({ revision: 2, task: { command: ['a'] } });
    const jobDefinition = 'd:2';
    const gone = await service.deregisterJobDefinition(
      create(DeregisterJobDefinitionRequestSchema, { jobDefinition }),
      call(),
    );
    expect(gone.jobDefinition).toMatchObject({ revision: 2, active: false });
    expect(gone.jobDefinition?.deregisteredAtMs).toBeGreaterThan(0n);
    const get = (name: string) =>
      service.getJobDefinition(create(GetJobDefinitionRequestSchema, { jobDefinition: name }), call());
    expect((await get('d')).jobDefinition).toMatchObject({ revision: 1 });
    expect((await get('d:2')).jobDefinition).toMatchObject({ active: false });
    await expect(get('d:3')).rejects.toMatchObject({ message: 'job definition "d:3" does not exist' });
    await expect(get('x')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(get('not a name')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it('are listed by name, then newest revision first', async () => {
    const service = start();
    for (const name of ['d-2', 'd', 'd', 'e']) await register(service, { name });
    await service.deregisterJobDefinition(
      create(DeregisterJobDefinitionRequestSchema, { jobDefinition: 'd:1' }),
      call(),
    );
    const list = async (init: MessageInitShape<typeof ListJobDefinitionsRequestSchema>) => {
      const answer = await service.listJobDefinitions(create(ListJobDefinitionsRequestSchema, init), call());
      const ids = (answer.jobDefinitions ?? []).map(({ name, revision }) => `${name}:${revision}`);
      return { ids, token: answer.nextPageToken ?? '' };
    };
    expect((await list({})).ids).toEqual(['d:2', 'd-2:1', 'default:1', 'e:1']);
    expect((await list({ name: 'd', includeInactive: true })).ids).toEqual(['d:2', 'd:1']);
    const first = await list({ page: { pageSize: 3 } });
    expect((await list({ page: { pageSize: 3, pageToken: first.token } })).ids).toEqual(['e:1']);
  });

  it('register once for one request id', async () => {
    const service = start();
    const first = await register(service, { requestId: 'r' });
    expect(await register(service, { requestId: 'r' })).toEqual(first);
    await expect(register(service, { requestId: 'r', milliVcpu: 2n })).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
    });
    expect((await register(service, { requestId: 's' })).jobDefinition).toMatchObject({ revision: 2 });
  });

  it('refuse what is too long and what is not built', async () => {
    const service = start();
    const long = create(RegisterJobDefinitionRequestSchema, { name: 'd', task: { command: ['x'.repeat(30_000)] } });
    await expect(service.registerJobDefinition(long, call())).rejects.toMatchObject({
      message: expect.stringMatching(/^task: a definition has at most 24576 bytes encoded, got 300\d\d$/),
    });
    const nodes = create(RegisterJobDefinitionRequestSchema, { name: 'd', multiNode: { numNodes: 2 } });
    await expect(service.registerJobDefinition(nodes, call())).rejects.toMatchObject({ code: 'UNIMPLEMENTED' });
  });
});

describe('job queues', () => {
  const start = () => createJobQueueService(cluster);

  it('are made, changed by compare-and-set, disabled and deleted with what waits in them', async () => {
    const service = start();
    const jobs = createJobService(cluster);
    const made = await service.createJobQueue(create(CreateJobQueueRequestSchema, { name: 'q', priority: 5 }), call());
    expect(made.jobQueue).toMatchObject({
      name: 'q',
      priority: 5,
      state: AdmissionState.ENABLED,
      computeEnvironments: ['default'],
      version: 1n,
    });
    await expect(
      service.createJobQueue(create(CreateJobQueueRequestSchema, { name: 'q' }), call()),
    ).rejects.toMatchObject({ code: 'ALREADY_EXISTS', message: 'job queue "q" already exists' });
    const { number } = await jobs.submitJob(jobRequest({ jobQueue: 'q' }), call());
    const snapshot = create(GetJobQueueSnapshotRequestSchema, { name: 'q' });
    expect((await service.getJobQueueSnapshot(snapshot, call())).jobs).toMatchObject([{ number }]);
    const update = (init: MessageInitShape<typeof UpdateJobQueueRequestSchema>) =>
      service.updateJobQueue(create(UpdateJobQueueRequestSchema, { name: 'q', ...init }), call());
    expect((await update({ state: AdmissionState.DISABLED, ifVersion: 1n })).jobQueue).toMatchObject({
      priority: 5,
      state: AdmissionState.DISABLED,
      version: 2n,
    });
    await expect(update({ priority: 1, ifVersion: 1n })).rejects.toMatchObject({
      code: 'ABORTED',
      reason: 'VERSION_MISMATCH',
    });
    await expect(jobs.submitJob(jobRequest({ jobQueue: 'q' }), call())).rejects.toMatchObject({
      code: 'FAILED_PRECONDITION',
    });
    const gone = await service.deleteJobQueue(create(DeleteJobQueueRequestSchema, { name: 'q' }), call());
    expect(gone.endedJobs).toBe(1n);
    const { jobQueues } = await service.listJobQueues(create(ListJobQueuesRequestSchema), call());
    expect(jobQueues?.map(({ name }) => name)).toEqual(['default']);
    await expect(service.getJobQueueSnapshot(snapshot, call())).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('refuse environments that are not there and limits that are not built', async () => {
    const make = (init: MessageInitShape<typeof CreateJobQueueRequestSchema>) =>
      start().createJobQueue(create(CreateJobQueueRequestSchema, init), call());
    await expect(make({ name: 'q', computeEnvironments: ['x'] })).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: 'compute environment "x" does not exist',
      violations: [{ field: 'compute_environments[0]' }],
    });
    await expect(make({ name: 'q', limits: {} })).rejects.toMatchObject({ code: 'UNIMPLEMENTED' });
  });
});

describe('compute environments', () => {
  it('are made, changed, and deleted when nothing needs them', async () => {
    const service = createComputeEnvironmentService(cluster);
    const made = await service.createComputeEnvironment(
      create(CreateComputeEnvironmentRequestSchema, { name: 'e', tags: { a: 'b' } }),
      call(),
    );
    expect(made.computeEnvironment).toMatchObject({
      state: AdmissionState.ENABLED,
      placementStrategy: PlacementStrategy.PACK,
      tags: { a: 'b' },
      nodes: 0,
    });
    const remove = () =>
      service.deleteComputeEnvironment(create(DeleteComputeEnvironmentRequestSchema, { name: 'e' }), call());
    await expect(remove()).rejects.toMatchObject({ code: 'FAILED_PRECONDITION' });
    const changed = await service.updateComputeEnvironment(
      create(UpdateComputeEnvironmentRequestSchema, {
        name: 'e',
        state: AdmissionState.DISABLED,
        placementStrategy: PlacementStrategy.SPREAD,
        ifVersion: 1n,
      }),
      call(),
    );
    expect(changed.computeEnvironment).toMatchObject({ placementStrategy: PlacementStrategy.SPREAD, version: 2n });
    await remove();
    const list = create(ListComputeEnvironmentsRequestSchema);
    const { computeEnvironments } = await service.listComputeEnvironments(list, call());
    expect(computeEnvironments?.map(({ name }) => name)).toEqual(['default']);
  });
});

describe('nodes', () => {
  it('show what the core and the agent know, drain and come back', async () => {
    const service = createNodeService(cluster);
    await TestNode.connect(cluster);
    const inventory = create(InventorySchema, { hostname: 'host', cores: 64 });
    cluster.nodes.update('default', 'node-1', { inventory });
    const get = async () => (await service.getNode(create(GetNodeRequestSchema, { name: 'node-1' }), call())).node;
    expect(await get()).toMatchObject({
      name: 'node-1',
      computeEnvironment: 'default',
      state: NodeState.READY,
      connected: true,
      inventory: { hostname: 'host' },
      capacity: { milliVcpu: 64_000n },
    });
    const drained = await service.drainNode(
      create(DrainNodeRequestSchema, { name: 'node-1', reason: 'new disk' }),
      call(),
    );
    expect(drained.node?.state).not.toBe(NodeState.READY);
    expect(drained.node?.stateReason).toContain('new disk');
    await service.undrainNode(create(GetNodeRequestSchema, { name: 'node-1' }) as never, call());
    expect((await get())?.state).toBe(NodeState.READY);
    await expect(service.getNode(create(GetNodeRequestSchema, { name: 'x' }), call())).rejects.toMatchObject({
      message: 'node "x" does not exist',
    });
  });
});
