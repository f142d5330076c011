import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import {
  AttemptPhase,
  EndCause as EndCauseMessage,
  LimitState,
  LogStream,
  ShipLogsRequestSchema,
  type ShipLogsResponse,
} from '@galley/proto';
import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { decodeEndedJob, endedJobKey } from '../core/records/index.ts';
import { EndCause, JobState, NodeState } from '../core/types.ts';
import { CLUSTER, TestPlane } from './testing/plane.ts';

let test: TestPlane;
beforeEach(async () => {
  test = await TestPlane.start();
});
afterEach(() => test.close());

const node = (name = 'n1') => test.turns.read((view) => view.node('default', name));
const until = async <T>(ask: () => Promise<T>, wanted: (value: T) => boolean): Promise<T> => {
  for (;;) {
    const value = await ask();
    if (wanted(value)) return value;
    await turn();
  }
};

const hex = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString('hex');

const report = (jobId: Uint8Array, sequence: bigint, phase: AttemptPhase, parts: object = {}) => ({
  case: 'reports' as const,
  value: {
    reports: [{ sequence, id: { jobId, childIndex: -1, attempt: 1 }, placementSequence: 1n, phase, ...parts }],
  },
});

describe('a hello', () => {
  it('is answered with cluster, position, protocol and what is believed placed', async () => {
    const agent = test.dial();
    agent.hello();
    const hello = await agent.next('hello');
    expect(hello).toMatchObject({ clusterId: CLUSTER, protocol: 1, believed: [], sendCompleteHistory: false });
    expect(hello.position?.epoch).toBe(1n);
    expect(hello.heartbeatIntervalMs).toBeGreaterThan(0);
    expect(hello.leaseMs).toBeGreaterThan(hello.heartbeatIntervalMs);
    expect(await node()).toMatchObject({ state: NodeState.ready, connected: true, incarnation: agent.incarnation });
  });

  it.each([
    ['of a newer protocol', { protocolMin: 2, protocolMax: 3 }, status.FAILED_PRECONDITION, /versions 2 to 3/],
    ['of another cluster', { clusterId: 'other' }, status.FAILED_PRECONDITION, /cluster other.*cluster the-cluster/],
    ['of an unknown environment', { computeEnvironment: 'gone' }, status.NOT_FOUND, /"gone" does not exist/],
    ['with a name that is none', { nodeName: 'a b' }, status.INVALID_ARGUMENT, /hello\.node_name.*"a b"/],
  ])('%s is turned away with a sentence', async (_what, hello, code, sentence) => {
    const agent = test.dial();
    agent.hello(hello);
    expect(await agent.ended).toMatchObject({ code, message: expect.stringMatching(sentence) });
    expect(test.plane.connected).toBe(0);
  });

  it('is expected first, and soon', async () => {
    const early = test.dial();
    early.send({ case: 'heartbeat', value: { sequence: 1n } });
    expect(await early.ended).toMatchObject({ code: status.INVALID_ARGUMENT });
    await test.close();
    test = await TestPlane.start({ helloTimeoutMs: 50 });
    expect(await test.dial().ended).toMatchObject({ code: status.DEADLINE_EXCEEDED });
  });

  it('of an agent that saw an older epoch is answered by asking for its whole history', async () => {
    const agent = test.dial();
    agent.hello({ witness: { epoch: 0n, sequence: 5n } });
    expect(await agent.next('hello')).toMatchObject({ sendCompleteHistory: true });
    expect(await agent.ended).toMatchObject({ code: 0 });
    const again = await test.join({ witness: { epoch: 0n, sequence: 5n }, completeHistory: true });
    expect(again.take()).toEqual([]);
    expect(await node()).toMatchObject({ connected: true });
  });

  it('of an agent that saw more than the store has stops scheduling', async () => {
    await test.join({ witness: { epoch: 1n, sequence: 1_000_000n } });
    const { pauses } = await test.turns.read((view) => view.status());
    expect(pauses).toMatchObject([{ cause: 'loss', message: expect.stringContaining('n1') }]);
  });

  it('of a second agent under a live name is refused, and of the same agent it takes over', async () => {
    const first = await test.join();
    const second = test.dial();
    second.hello();
    const refused = { code: status.ALREADY_EXISTS, message: expect.stringContaining('node n1') };
    expect(await second.ended).toMatchObject(refused);
    const again = await test.join({ incarnation: first.incarnation });
    expect(await first.ended).toMatchObject({ code: status.ABORTED });
    again.send({ case: 'heartbeat', value: { sequence: 9n } });
    expect(await again.next('heartbeatAck')).toMatchObject({ sequence: 9n });
    expect(await node()).toMatchObject({ connected: true });
  });

  it('says what the host bounds, and without limits it is offered no jobs unless it was told to take them', async () => {
    const limits = [{ resource: 'memory', state: LimitState.UNAVAILABLE }];
    const inventory = { allocatable: { milliVcpu: 1000n, memoryBytes: 1n << 30n }, limits };
    await test.join({ inventory });
    expect((await node())?.offer.takesJobs).toBe(false);
    await test.join({ nodeName: 'n2', inventory: { ...inventory, allowUnlimited: true } });
    expect((await node('n2'))?.offer.takesJobs).toBe(true);
  });
});

describe('a session', () => {
  it('carries a job from its placement to its acked end', async () => {
    const agent = await test.join();
    const { id, number } = await test.submit('count');
    const { placements, position } = await agent.next('placements');
    expect(placements).toMatchObject([
      {
        sequence: 1n,
        id: { childIndex: -1, attempt: 1 },
        jobNumber: BigInt(number),
        jobName: 'count',
        jobQueue: 'default',
        computeEnvironment: 'default',
        jobDefinition: 'default:1',
        user: 'ada',
        account: 'default',
        task: { command: ['echo', 'count'], resources: { milliVcpu: 1000n } },
      },
    ]);
    expect(hex(placements[0]?.id?.jobId)).toBe(hex(id));
    expect(position?.sequence).toBeGreaterThan(0n);
    agent.send(report(id, 1n, AttemptPhase.ACCEPTED));
    agent.send(report(id, 2n, AttemptPhase.RUNNING));
    expect(await agent.next('reportsAck')).toMatchObject({ sequence: 1n });
    expect(await agent.next('reportsAck')).toMatchObject({ sequence: 2n });
    expect(test.turns.view.job(id)).toMatchObject({ state: JobState.running, node: 'n1' });
    const end = { cause: EndCauseMessage.EXITED, exitCode: 0, logLengths: [5n], runDurationMs: 3n };
    agent.send(report(id, 3n, AttemptPhase.ENDED, { ...end, resourcesReleased: true, jobNumber: BigInt(number) }));
    expect(await agent.next('reportsAck')).toMatchObject({ sequence: 3n });
    const record = await test.turns.store.get(endedJobKey('default', number));
    expect(decodeEndedJob(record ?? new Uint8Array())).toMatchObject({ state: JobState.succeeded });
    const ref = { jobNumber: number, childIndex: -1, attempt: 1 };
    const { output } = await until(
      () => test.logs.lengths(ref),
      (lengths) => lengths.output.final !== undefined,
    );
    expect(output.final).toBe(5);
  });

  it('sends a stop behind the placement that it stops', async () => {
    const agent = await test.join();
    const { id } = await test.submit();
    const cancelled = test.turns.apply({
      kind: 'cancelJobs',
      jobs: [id],
      reason: 'enough',
      mode: 'terminate',
      graceSeconds: 7,
    });
    await agent.next('placements');
    expect(await agent.next('stops')).toMatchObject({
      stops: [{ reason: 'enough', graceSeconds: 7, id: { attempt: 1 } }],
    });
    expect(await cancelled).toMatchObject([{ outcome: 'stopping' }]);
  });

  it('tells a returning agent what is believed, and places again what it never journaled', async () => {
    const agent = await test.join();
    const { id } = await test.submit();
    await agent.next('placements');
    const again = test.dial();
    again.hello({ incarnation: agent.incarnation });
    const { believed } = await again.next('hello');
    expect(believed).toMatchObject([{ attempt: 1, childIndex: -1 }]);
    expect(hex(believed[0]?.jobId)).toBe(hex(id));
    expect((await again.next('placements')).placements).toMatchObject([{ sequence: 1n }]);
  });

  it('releases ends that a hello brings, once they are durable', async () => {
    const agent = await test.join();
    const { id } = await test.submit();
    await agent.next('placements');
    const ended = {
      ...report(id, 0n, AttemptPhase.ENDED).value.reports[0],
      cause: EndCauseMessage.EXITED,
      exitCode: 4,
      resourcesReleased: true,
    };
    const again = await test.join({ incarnation: agent.incarnation, placementWatermark: 1n, attempts: [ended] });
    const { ids } = await again.next('releases');
    expect(hex(ids[0]?.jobId)).toBe(hex(id));
    expect(test.turns.view.job(id)).toBeUndefined();
  });

  it('ends a job whose task cannot be made, instead of letting it wait for ever', async () => {
    const agent = await test.join();
    const { number } = await test.submit('broken', { spec: Uint8Array.of(0xff, 0xff, 0xff) });
    const record = await until(
      () => test.turns.store.get(endedJobKey('default', number)),
      (bytes) => bytes !== undefined,
    );
    const job = decodeEndedJob(record ?? new Uint8Array());
    expect(job).toMatchObject({ state: JobState.failed, lastAttempt: { cause: EndCause.launchFailed } });
    expect(agent.take().filter(({ case: kind }) => kind === 'placements')).toEqual([]);
  });

  it('acks heartbeats with the durable position, and remembers what they say', async () => {
    const agent = await test.join();
    const agentTimeMs = BigInt(Date.now() - 60_000);
    const usage = { memoryAvailableBytes: 1n << 32n, load1m: 0.5 };
    agent.send({ case: 'heartbeat', value: { sequence: 7n, usage, agentTimeMs } });
    const ack = await agent.next('heartbeatAck');
    const { epoch, sequence } = test.turns.store.position;
    expect(ack).toMatchObject({ sequence: 7n, position: { epoch: BigInt(epoch), sequence: BigInt(sequence) } });
    const facts = test.plane.directory.get('default', 'n1');
    expect(facts).toMatchObject({ usage: { load1m: 0.5 }, inventory: { allocatable: { milliVcpu: 8000n } } });
    expect(facts?.clockOffsetMs).toBeLessThan(-59_000);
    expect(facts?.clockOffsetMs).toBeGreaterThan(-90_000);
  });

  it.each(['goodbye', 'end', 'cancel'] as const)('that is over by %s leaves its node disconnected', async (how) => {
    const agent = await test.join();
    if (how === 'goodbye') agent.send({ case: 'goodbye', value: { reason: 'upgrade' } });
    if (how === 'end') agent.endStream();
    if (how === 'cancel') agent.close();
    await agent.ended;
    const left = await until(node, (view) => view?.connected === false);
    expect(left?.state).toBe(NodeState.ready);
    expect(test.plane.connected).toBe(0);
  });

  it('is told to come back when the control plane stops', async () => {
    const agent = await test.join();
    test.plane.close();
    const stopping = { code: status.UNAVAILABLE, message: expect.stringContaining('stopping') };
    expect(await agent.ended).toMatchObject(stopping);
  });

  it('is told to come back when the epoch rises, and its history is asked for', async () => {
    const agent = await test.join({ witness: { epoch: 1n, sequence: 1_000_000n } });
    await test.turns.apply({ kind: 'resume', acceptLoss: true, waiveMissingNodes: false });
    expect(await agent.ended).toMatchObject({ code: status.UNAVAILABLE });
    const again = test.dial();
    again.hello({ incarnation: agent.incarnation, witness: { epoch: 1n, sequence: 1_000_000n } });
    expect(await again.next('hello')).toMatchObject({ sendCompleteHistory: true, position: { epoch: 2n } });
  });
});

it('when a commit fails, no ack leaves, and the same reports are taken from the next session', async () => {
  let armed = false;
  await test.close();
  test = await TestPlane.start({
    faults: {
      commit: () => {
        const fault = armed ? 'append' : undefined;
        armed = false;
        return fault;
      },
    },
  });
  const agent = await test.join();
  const { id } = await test.submit();
  await agent.next('placements');
  agent.send(report(id, 1n, AttemptPhase.ACCEPTED));
  await agent.next('reportsAck');
  armed = true;
  agent.send(report(id, 2n, AttemptPhase.RUNNING));
  expect(await agent.ended).toMatchObject({ code: status.UNAVAILABLE });
  expect(agent.take()).toEqual([]);
  await until(
    async () => test.turns.statistics.rebuilds,
    (rebuilds) => rebuilds === 1,
  );
  const running = report(id, 0n, AttemptPhase.RUNNING).value.reports;
  const again = await test.join({ incarnation: agent.incarnation, placementWatermark: 1n, attempts: running });
  again.send({ case: 'heartbeat', value: { sequence: 1n } });
  await again.next('heartbeatAck');
  expect(test.turns.view.job(id)).toMatchObject({ state: JobState.running });
});

describe('shipped logs', () => {
  const message = (sequence: bigint, offset: bigint, text: string) =>
    create(ShipLogsRequestSchema, {
      sequence,
      ...(sequence === 1n ? { nodeName: 'n1' } : {}),
      chunks: [
        {
          id: { jobId: new Uint8Array(16), childIndex: -1, attempt: 1 },
          jobNumber: 3n,
          chunk: { stream: LogStream.OUTPUT, offset, observedAtMs: 1n, data: Buffer.from(text) },
        },
      ],
    });

  async function responses(stream: AsyncIterable<unknown>): Promise<ShipLogsResponse[]> {
    const all: ShipLogsResponse[] = [];
    for await (const response of stream as AsyncIterable<ShipLogsResponse>) all.push(response);
    return all;
  }

  const written = async () => {
    const ref = { jobNumber: 3, childIndex: -1, attempt: 1 };
    const { chunks } = await test.logs.read({ ref, stream: 'output', offset: 0 });
    return Buffer.concat(chunks.map((chunk) => (chunk.kind === 'data' ? chunk.data : Buffer.alloc(0)))).toString();
  };

  it('are acked in order once they are synced', async () => {
    const stream = test.dial().shipLogs();
    for (let sequence = 1n; sequence <= 20n; sequence++) stream.write(message(sequence, 2n * (sequence - 1n), 'ab'));
    stream.end();
    const acks = (await responses(stream)).map(({ ackedSequence }) => ackedSequence);
    expect(acks).toEqual(Array.from({ length: 20 }, (_, index) => BigInt(index + 1)));
    expect(await written()).toBe('ab'.repeat(20));
  });

  it('that start past the known end are asked for again from there', async () => {
    const stream = test.dial().shipLogs();
    stream.write(message(1n, 0n, 'abc'));
    stream.write(message(2n, 10n, 'xyz'));
    stream.end();
    const [, second] = await responses(stream);
    expect(second).toMatchObject({ ackedSequence: 2n, resends: [{ fromOffset: 3n, stream: LogStream.OUTPUT }] });
    expect(await written()).toBe('abc');
  });

  it('out of their sequence end the stream', async () => {
    const stream = test.dial().shipLogs();
    stream.on('data', () => undefined);
    stream.write(message(2n, 0n, 'abc'));
    const [error] = await once(stream, 'error');
    expect(error).toMatchObject({ code: status.INVALID_ARGUMENT });
  });
});
