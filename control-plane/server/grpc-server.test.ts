import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import {
  AdminService,
  AgentService,
  ConnectRequestSchema,
  type ConnectResponse,
  JobService,
  MAX_MESSAGE_BYTES,
  type SubmitJobRequest,
  SubmitJobRequestSchema,
  serviceClient,
} from '@galley/proto';
import { type Client, status } from '@grpc/grpc-js';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ApiError } from '../api/errors.ts';
import { TokenAuthenticator } from '../security/authenticator.ts';
import { GrpcServer } from './grpc-server.ts';
import type { CallContext } from './handler.ts';
import { connect, failure, TEST_TOKEN, withToken } from './testing/call.ts';

const logged: string[] = [];
const log = pino({ level: 'error' }, { write: (line) => void logged.push(line) });
const options = { metadata: withToken() };

let server: GrpcServer;
let client: Client;
/** What the last submit was given. */
let seen: { request: SubmitJobRequest; context: CallContext } | undefined;
/** What a handler does besides answering. */
let onSubmit: (context: CallContext) => Promise<void>;

beforeEach(async () => {
  onSubmit = () => Promise.resolve();
  logged.length = 0;
  server = new GrpcServer({ authenticator: new TokenAuthenticator(TEST_TOKEN), log });
  server.register(JobService, {
    async submitJob(request, context) {
      seen = { request, context };
      await onSubmit(context);
      return { number: 7n };
    },
    async *watchJobs(_request, { signal }) {
      yield { unknownJobIds: ['first'] };
      await once(signal, 'abort');
    },
  });
  server.register(AdminService, {
    async *backup() {
      for (let chunk = 0n; chunk < 64n; chunk++) yield { recordsDone: chunk, data: new Uint8Array(256 * 1024) };
    },
  });
  server.register(AgentService, {
    async *connect(requests) {
      for await (const { message } of requests) {
        if (message.case === 'heartbeat') {
          yield { message: { case: 'heartbeatAck', value: { sequence: message.value.sequence } } };
        }
      }
    },
  });
  client = connect(await server.listen('127.0.0.1', 0));
});

afterEach(async () => {
  client.close();
  await server.close(100);
});

const jobs = () => serviceClient(JobService, client);
const valid = () => create(SubmitJobRequestSchema, { jobId: crypto.randomUUID(), jobName: 'a' });

it('hands an authenticated, valid request to its handler, with who called and until when', async () => {
  const request = valid();
  const response = await jobs().submitJob(request, { ...options, timeoutMs: 5000 });
  expect(response.number).toBe(7n);
  expect(seen?.request.jobId).toBe(request.jobId);
  expect(seen?.context).toMatchObject({ principal: 'admin', role: 'admin' });
  expect(seen?.context.deadlineMs).toBeGreaterThan(Date.now());
  expect(seen?.context.peer).toContain('127.0.0.1');
});

it.each([
  ['without a token', {}],
  ['with a wrong one', { metadata: withToken('another-token-altogether') }],
])('refuses a call %s, whatever its kind', async (_how, callOptions) => {
  seen = undefined;
  expect(await failure(jobs().submitJob(valid(), callOptions))).toMatchObject({ code: status.UNAUTHENTICATED });
  expect(seen).toBeUndefined();
  const watch = jobs().watchJobs({ jobIds: ['a'] }, callOptions);
  expect(await failure(watch)).toMatchObject({ code: status.UNAUTHENTICATED });
  const stream = serviceClient(AgentService, client).connect(callOptions);
  stream.on('data', () => undefined);
  const [error] = await once(stream, 'error');
  expect(error).toMatchObject({ code: status.UNAUTHENTICATED });
});

it('names the fields at fault, their constraint and what was received', async () => {
  const bad = create(SubmitJobRequestSchema, {
    jobId: 'not-a-uuid',
    jobName: '-'.repeat(300),
    task: { resources: { milliVcpu: 0n }, environment: { 'A B': 'x' } },
    retryStrategy: { attempts: 99 },
  });
  const { code, violations } = await failure(jobs().submitJob(bad, options));
  expect(code).toBe(status.INVALID_ARGUMENT);
  const byField = new Map(violations?.map(({ field, description }) => [field, description]));
  expect(byField.get('job_id')).toMatch(/UUID, got "not-a-uuid"/);
  expect(byField.get('job_name')).toMatch(/got "-+… \(302 characters\)/);
  expect(byField.get('task.resources.milli_vcpu')).toMatch(/1.*, got 0$/);
  expect(byField.get('task.environment["A B"]')).toMatch(/, got "A B"$/);
  expect(byField.get('retry_strategy.attempts')).toMatch(/10, got 99$/);
});

it('refuses a message over the limit', async () => {
  const huge = create(SubmitJobRequestSchema, { ...valid(), comment: 'x'.repeat(MAX_MESSAGE_BYTES) });
  expect(await failure(jobs().submitJob(huge, options))).toMatchObject({ code: status.RESOURCE_EXHAUSTED });
});

it('passes on an error of the API with its fields and its reason', async () => {
  onSubmit = () => Promise.reject(new ApiError('ABORTED', 'changed', { reason: 'VERSION_MISMATCH' }));
  expect(await failure(jobs().submitJob(valid(), options))).toMatchObject({
    code: status.ABORTED,
    message: 'changed',
    reason: 'VERSION_MISMATCH',
  });
});

it('keeps the inside of an unforeseen error to itself, and logs it under an id', async () => {
  onSubmit = () => Promise.reject(new Error('password=hunter2'));
  const { code, message } = await failure(jobs().submitJob(valid(), options));
  expect(code).toBe(status.INTERNAL);
  expect(message).not.toContain('hunter2');
  const id = /error ([0-9a-f]{12})/.exec(message)?.[1];
  expect(id).toBeDefined();
  expect(logged.join('')).toContain(`"errorId":"${id}"`);
  expect(logged.join('')).toContain('hunter2');
});

it('aborts the signal when the caller cancels, and when the deadline passes', async () => {
  const aborts: Promise<unknown>[] = [];
  const { promise: started, resolve } = Promise.withResolvers<void>();
  onSubmit = async ({ signal }) => {
    aborts.push(once(signal, 'abort'));
    resolve();
    await aborts.at(-1);
  };
  const abort = new AbortController();
  const cancelled = failure(jobs().submitJob(valid(), { ...options, signal: abort.signal }));
  await started;
  abort.abort();
  expect(await cancelled).toMatchObject({ code: status.CANCELLED });
  const late = await failure(jobs().submitJob(valid(), { ...options, timeoutMs: 50 }));
  expect(late).toMatchObject({ code: status.DEADLINE_EXCEEDED });
  expect(await Promise.all(aborts)).toHaveLength(2);
});

it('answers UNIMPLEMENTED where there is no handler', async () => {
  const call = jobs().getJob({ job: '1' }, options);
  expect(await failure(call)).toMatchObject({ code: status.UNIMPLEMENTED });
});

it('streams no faster than the caller reads, and whole', async () => {
  const seenChunks: bigint[] = [];
  for await (const { recordsDone } of serviceClient(AdminService, client).backup({}, options)) {
    seenChunks.push(recordsDone);
    await turn();
  }
  expect(seenChunks).toEqual(Array.from({ length: 64 }, (_, index) => BigInt(index)));
});

it('carries a stream in both directions, and ends it with its caller', async () => {
  const stream = serviceClient(AgentService, client).connect(options);
  const replies: (bigint | undefined)[] = [];
  for (let sequence = 1n; sequence <= 3n; sequence++) {
    stream.write(heartbeat(sequence));
  }
  stream.end();
  for await (const { message } of stream as AsyncIterable<ConnectResponse>) {
    replies.push(message.case === 'heartbeatAck' ? message.value.sequence : undefined);
  }
  expect(replies).toEqual([1n, 2n, 3n]);
});

it('ends a stream at the first message that breaks its rules', async () => {
  const stream = serviceClient(AgentService, client).connect(options);
  stream.on('data', () => undefined);
  const hello = { nodeName: '..', incarnation: crypto.randomUUID() };
  stream.write(create(ConnectRequestSchema, { message: { case: 'hello', value: hello } }));
  const [error] = await once(stream, 'error');
  const details: unknown = expect.stringMatching(/^hello\.node_name: .*, got "\.\."/);
  expect(error).toMatchObject({ code: status.INVALID_ARGUMENT, details });
});

it('on closing tells streams to come back, and is gone', async () => {
  const watch = jobs().watchJobs({ jobIds: ['a'] }, options);
  const iterator = watch[Symbol.asyncIterator]();
  expect((await iterator.next()).value).toMatchObject({ unknownJobIds: ['first'] });
  const ended = failure(iterator.next());
  await server.close(2000);
  expect(await ended).toMatchObject({ code: status.UNAVAILABLE, message: expect.stringContaining('stopping') });
  expect(await failure(jobs().submitJob(valid(), options))).toMatchObject({ code: status.UNAVAILABLE });
});

const heartbeat = (sequence: bigint) =>
  create(ConnectRequestSchema, { message: { case: 'heartbeat', value: { sequence } } });
