import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  FollowLogRequestSchema,
  GetLogInfoRequestSchema,
  type LogChunk,
  type LogSelectorSchema,
  LogStream,
  ReadLogRequestSchema,
  RetryStrategySchema,
  TaskSpecSchema,
} from '@galley/proto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EndCause, type PlaceOutput } from '../core/types.ts';
import type { StreamKind } from '../logs/log-store.ts';
import { createJobService } from './job-service.ts';
import { createLogService } from './log-service.ts';
import { call, jobRequest, startCluster, type TestCluster, TestNode } from './testing/cluster.ts';

let cluster: TestCluster;
let node: TestNode;
let logs: ReturnType<typeof createLogService>;
beforeEach(async () => {
  cluster = await startCluster();
  node = await TestNode.connect(cluster);
  logs = createLogService(cluster);
});
afterEach(() => cluster.close());

async function submit(init: Parameters<typeof jobRequest>[0] = {}): Promise<string> {
  const request = jobRequest(init);
  await createJobService(cluster).submitJob(request, call());
  return request.jobId;
}

async function write(place: PlaceOutput, offset: number, text: string, stream: StreamKind = 'output'): Promise<void> {
  const ref = { jobNumber: place.number, childIndex: -1, attempt: place.attempt };
  const data = Buffer.from(text);
  await cluster.logs.append([{ kind: 'data', ref, stream, offset, observedAtMs: 1, data }]);
}

const ends = (length: number) => ({ logLengths: [length, 0, 0] });
const textOf = (chunks: readonly Pick<LogChunk, 'data'>[]) => Buffer.concat(chunks.map(({ data }) => data)).toString();
type Selector = MessageInitShape<typeof LogSelectorSchema>;
const read = async (log: Selector, init: Omit<MessageInitShape<typeof ReadLogRequestSchema>, '$typeName'> = {}) => {
  const answer = await logs.readLog(create(ReadLogRequestSchema, { ...init, log }), call());
  return { ...answer, text: textOf((answer.chunks ?? []) as LogChunk[]) };
};

async function follow(log: Selector, options: { allAttempts?: boolean; tailLines?: number; offset?: bigint } = {}) {
  const seen: string[] = [];
  for await (const message of logs.followLog(create(FollowLogRequestSchema, { log, ...options }), call())) {
    const text = textOf((message.chunks ?? []) as LogChunk[]);
    seen.push(message.ended === true ? `${message.attempt} ended` : `${message.attempt} ${text}`);
  }
  return seen;
}

describe('read', () => {
  it('gives ranges and tails, and says when nothing follows', async () => {
    const jobId = await submit();
    expect(await read({ jobId })).toMatchObject({ text: '', ended: false });
    const place = await node.placed();
    await node.running(place);
    await write(place, 0, 'one\ntwo\nthree\n');
    expect(await read({ jobId })).toMatchObject({ text: 'one\ntwo\nthree\n', ended: false, attempt: 1, length: 14n });
    expect(await read({ jobId }, { offset: 4n, maxBytes: 4 })).toMatchObject({ text: 'two\n', nextOffset: 8n });
    expect(await read({ jobId }, { tailLines: 2 })).toMatchObject({ text: 'two\nthree\n' });
    expect(await read({ jobId }, { tailBytes: 6n })).toMatchObject({ text: 'three\n' });
    await node.ended(place, ends(14));
    // Nobody told the log store of the end: it is made up for.
    expect(await read({ jobId: '1' })).toMatchObject({ ended: true, nextOffset: 14n });
    await expect(read({ jobId }, { tailLines: 1, tailBytes: 1n })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(read({ jobId, attempt: 2 })).rejects.toMatchObject({
      message: 'log.attempt: the job has had 1 attempts, got 2',
    });
  });

  it('begins with stdout where a job keeps two streams', async () => {
    const jobId = await submit({ task: create(TaskSpecSchema, { command: ['a'], separateStreams: true }) });
    const place = await node.placed();
    await node.running(place);
    await write(place, 0, 'out', 'stdout');
    await write(place, 0, 'oops', 'stderr');
    expect((await read({ jobId })).text).toBe('out');
    expect((await read({ jobId, stream: LogStream.STDERR })).text).toBe('oops');
    const info = await logs.getLogInfo(create(GetLogInfoRequestSchema, { log: { jobId } }), call());
    expect(info).toEqual({
      attempt: 1,
      streams: [
        { stream: LogStream.STDOUT, length: 3n, ended: false },
        { stream: LogStream.STDERR, length: 4n, ended: false },
      ],
    });
  });
});

describe('follow', () => {
  it('waits for the attempt, gives what is written and ends with it', async () => {
    const jobId = await submit();
    const following = follow({ jobId });
    const place = await node.placed();
    await node.running(place);
    await write(place, 0, 'hello ');
    await write(place, 6, 'world');
    await node.ended(place, ends(11));
    const seen = await following;
    expect(seen.at(-1)).toBe('1 ended');
    expect(
      seen
        .slice(0, -1)
        .map((line) => line.slice(2))
        .join(''),
    ).toBe('hello world');
    expect(await follow({ jobId }, { offset: 6n })).toEqual(['1 world', '1 ended']);
    expect(await follow({ jobId }, { tailLines: 1 })).toEqual(['1 hello ', '1 world', '1 ended']);
  });

  it('goes on with the next attempt until the job is over', async () => {
    const jobId = await submit({ retryStrategy: create(RetryStrategySchema, { attempts: 2 }) });
    const following = follow({ jobId }, { allAttempts: true });
    const first = await node.placed();
    await write(first, 0, 'first');
    await node.ended(first, { exitCode: 1, ...ends(5) });
    const second = await node.placed();
    await write(second, 0, 'second');
    await node.ended(second, ends(6));
    expect(await following).toEqual(['1 first', '1 ended', '2 second', '2 ended']);
    expect(await follow({ jobId, attempt: 1 })).toEqual(['1 first', '1 ended']);
  });

  it('ends for a job that never began', async () => {
    const jobId = await submit({ hold: true });
    const following = follow({ jobId });
    await cluster.turns.apply({
      kind: 'cancelJobs',
      jobs: [Buffer.from(jobId.replaceAll('-', ''), 'hex')],
      reason: 'enough',
      mode: 'terminate',
      graceSeconds: undefined,
    });
    expect(await following).toEqual(['0 ended']);
    expect(await read({ jobId })).toMatchObject({ ended: true });
  });

  it('ends at what is known of an attempt whose node is gone for good', async () => {
    const jobId = await submit();
    const place = await node.placed();
    await node.running(place);
    await write(place, 0, 'last words');
    const following = follow({ jobId });
    await node.ended(place, { cause: EndCause.nodeLost, exitCode: undefined, logLengths: [] });
    expect(await following).toEqual(['1 last words', '1 ended']);
  });

  it('stops when the caller goes away', async () => {
    const jobId = await submit();
    const place = await node.placed();
    await write(place, 0, 'x');
    const caller = new AbortController();
    const request = create(FollowLogRequestSchema, { log: { jobId } });
    let messages = 0;
    for await (const _ of logs.followLog(request, call(caller.signal))) {
      messages++;
      caller.abort();
    }
    expect(messages).toBe(1);
  });
});
