import { create } from '@bufbuild/protobuf';
import {
  type Event,
  JobState,
  NodeState,
  SubscribeEventsRequestSchema,
  SubscribeEventsResponseSchema,
} from '@galley/proto';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createEventService } from './event-service.ts';
import { createJobService } from './job-service.ts';
import { call, jobRequest, startCluster, type TestCluster, TestNode } from './testing/cluster.ts';

let cluster: TestCluster;
let stop: AbortController;

beforeEach(async () => {
  cluster = await startCluster();
  stop = new AbortController();
});
afterEach(async () => {
  stop.abort();
  await cluster.close();
});

type Request = Omit<Parameters<typeof create<typeof SubscribeEventsRequestSchema>>[1] & object, '$typeName'>;

/** A subscription whose first message has arrived: it misses nothing from here on. */
async function subscribe(request: Request = {}) {
  const stream = createEventService(cluster)
    .subscribeEvents(create(SubscribeEventsRequestSchema, request), call(stop.signal))
    [Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await stream.next();
    if (done === true) throw new Error('the stream ended');
    return create(SubscribeEventsResponseSchema, value);
  };
  const { position, events } = await next();
  expect(events).toEqual([]);
  /** Messages until one fits. */
  const until = async (last: (event: Event) => boolean) => {
    const messages = [];
    for (;;) {
      const message = await next();
      messages.push(message);
      if (message.events.some(last)) return messages;
    }
  };
  return { position, until };
}

const jobs = () => createJobService(cluster);
const submit = async (init: Parameters<typeof jobRequest>[0] = {}) => jobs().submitJob(jobRequest(init), call());
const states = (messages: readonly { events: readonly Event[] }[]) =>
  messages
    .flatMap(({ events }) => events)
    .flatMap(({ event }) => (event.case === 'job' ? [[event.value.previousState, event.value.job?.state]] : []));
const isJob = (state: JobState) => (event: Event) =>
  event.event.case === 'job' && event.event.value.job?.state === state;
const isNode = (event: Event) => event.event.case === 'node';

it('tells the life of a job from its submission to its end, with what it was at each step', async () => {
  const { until } = await subscribe();
  const { jobId } = await submit({ jobName: 'bake' });
  const waiting = await until(isJob(JobState.RUNNABLE));
  const node = await TestNode.connect(cluster);
  const place = await node.placed();
  await node.running(place);
  await node.ended(place, { exitCode: 3 });
  const messages = [...waiting, ...(await until(isJob(JobState.FAILED)))];
  expect(states(messages)).toEqual([
    [JobState.SUBMITTED, JobState.RUNNABLE],
    [JobState.RUNNABLE, JobState.STARTING],
    [JobState.STARTING, JobState.RUNNING],
    [JobState.RUNNING, JobState.FAILED],
  ]);
  const told = messages.flatMap(({ events }) => events);
  for (const { event, atMs } of told.filter(({ event }) => event.case === 'job')) {
    expect(event.value).toMatchObject({ job: { jobId, jobName: 'bake', jobQueue: 'default' } });
    expect(Number(atMs)).toBeGreaterThan(1.7e12);
  }
  expect(told.at(-1)?.event.value).toMatchObject({ job: { exitCode: 3, node: 'node-1' } });
  expect(told.find(isNode)?.event.value).toMatchObject({ node: 'node-1', state: NodeState.READY });
});

it('goes on behind the position of any message', async () => {
  const first = await subscribe();
  for (const jobName of ['a', 'b', 'c']) await submit({ jobName });
  const named = (name: string) => (event: Event) =>
    event.event.case === 'job' && event.event.value.job?.jobName === name;
  const [one] = await first.until(named('a'));
  const second = await subscribe({ after: one?.position });
  const rest = (await second.until(named('c'))).flatMap(({ events }) => events);
  expect(rest.map(({ event }) => (event.case === 'job' ? event.value.job?.jobName : ''))).toEqual(['b', 'c']);
});

it('tells of one queue and of no nodes when asked to, and gives the position all the same', async () => {
  const settings = { priority: 1, enabled: true, environments: ['default'], tags: {} };
  await cluster.turns.apply({ kind: 'createQueue', account: 'default', name: 'other', settings });
  const { until } = await subscribe({ jobQueue: 'other' });
  await submit();
  await TestNode.connect(cluster);
  await submit({ jobQueue: 'other' });
  const told = (await until(isJob(JobState.RUNNABLE))).flatMap(({ events }) => events);
  expect(told.every(({ event }) => event.case === 'job' && event.value.job?.jobQueue === 'other')).toBe(true);
  await expect(subscribe({ jobQueue: 'none' })).rejects.toMatchObject({ code: 'NOT_FOUND' });
});

it('splits a large turn so that no part of it can be lost', async () => {
  const event = { kind: 'node', account: 'default', node: 'n', from: 1, to: 2, reason: '' } as const;
  const turn = (sequence: number, count: number) => ({
    ...{ position: { epoch: 1, sequence }, wrote: true, atMs: 1 },
    events: Array.from({ length: count }, () => event),
  });
  const subscription = {
    position: { epoch: 1, sequence: 3 },
    async *[Symbol.asyncIterator]() {
      yield turn(5, 2_400);
      yield turn(6, 1);
    },
  };
  const stream = createEventService({
    turns: cluster.turns,
    events: { subscribe: () => subscription },
  }).subscribeEvents(create(SubscribeEventsRequestSchema), call(stop.signal));
  const told: unknown[] = [];
  for await (const message of stream) {
    const { position, events } = create(SubscribeEventsResponseSchema, message);
    told.push([events.length, Number(position?.sequence)]);
  }
  // Who has only a part of turn 5 goes on behind turn 3, which gives all of it again.
  expect(told).toEqual([
    [0, 3],
    [1_000, 3],
    [1_000, 3],
    [400, 5],
    [1, 6],
  ]);
});

it('answers a position that is too old with how to begin anew', async () => {
  const after = { epoch: 1n, sequence: 0n };
  await expect(subscribe({ after })).rejects.toMatchObject({
    code: 'EXPIRED',
    message: expect.stringMatching(/start: read the position/),
  });
  await expect(subscribe({ after: { epoch: 7n, sequence: 0n } })).rejects.toMatchObject({
    code: 'EXPIRED',
    message: expect.stringMatching(/GetClusterStatus/),
  });
});
