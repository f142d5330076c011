import { JobService } from '@galley/proto';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ApiError } from '../api/errors.ts';
import { TestCluster } from '../core/testing/cluster.ts';
import { TokenAuthenticator } from '../security/authenticator.ts';
import { HttpServer } from './http-server.ts';
import { Metrics } from './metrics.ts';

const TOKEN = 'secret';
const ID = '3f2c1c1e-5d3c-4b0e-9a43-0b3c0a7e8f11';

describe('the HTTP listener', () => {
  let server: HttpServer;
  let url: string;

  beforeEach(async () => {
    const { view } = new TestCluster().core;
    const turns = { turns: 7, commits: 3, inputs: 9, rebuilds: 0, longestPassMs: 1 };
    const metrics = new Metrics({ view: () => view, turns: () => turns });
    server = new HttpServer({ authenticator: new TokenAuthenticator(TOKEN), log: pino({ level: 'silent' }), metrics });
    server.register(JobService, {
      submitJob: async (request, { principal }) => ({
        jobId: request.jobId,
        jobName: request.jobName,
        user: principal,
        number: 5n,
      }),
      getJob: async () => {
        throw new ApiError('NOT_FOUND', 'no job 5', { violations: [{ field: 'job', description: 'unknown' }] });
      },
      async *watchJobs() {
        yield { unknownJobIds: ['a'] };
        yield { unknownJobIds: ['b'] };
      },
    });
    url = `http://${await server.listen('127.0.0.1', 0)}`;
  });

  afterEach(() => server.close());

  function call(method: string, body: unknown, token = TOKEN): Promise<Response> {
    return fetch(`${url}/galley.v1.JobService/${method}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
      body: JSON.stringify(body),
    });
  }

  it('answers curl in JSON', async () => {
    const response = await call('SubmitJob', { jobId: ID, jobName: 'hello' });
    expect(await response.json()).toEqual({ jobId: ID, jobName: 'hello', number: '5', user: 'admin' });
  });

  it('refuses who has no token, and says how to bring one', async () => {
    const response = await call('SubmitJob', { jobId: ID, jobName: 'hello' }, 'wrong');
    expect(response.status).toBe(401);
    expect(await response.json()).toMatchObject({
      code: 'unauthenticated',
      message: expect.stringContaining('Bearer'),
    });
  });

  it('refuses what breaks the rules of the contract, naming field, constraint and value', async () => {
    const response = await call('SubmitJob', { jobId: 'x', jobName: 'hello' });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      code: 'invalid_argument',
      message: expect.stringMatching(/job_id.*"x"/),
    });
  });

  it('maps what a handler throws, details included', async () => {
    const response = await call('GetJob', { job: '5' });
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({
      code: 'not_found',
      message: 'no job 5',
      details: [
        { type: 'google.rpc.BadRequest', debug: { fieldViolations: [{ field: 'job', description: 'unknown' }] } },
      ],
    });
  });

  it('tells everybody that it lives, and only who may know how it is', async () => {
    expect(await (await fetch(`${url}/healthz`)).text()).toBe('ok\n');
    expect((await fetch(`${url}/metrics`)).status).toBe(401);
    const metrics = await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${TOKEN}` } });
    expect(await metrics.text()).toMatch(/^galley_turns_total 7$/m);
    expect((await fetch(`${url}/elsewhere`)).status).toBe(404);
  });

  it('streams', async () => {
    const message = Buffer.from(JSON.stringify({ jobIds: [ID] }));
    const head = Buffer.alloc(5);
    head.writeUInt32BE(message.length, 1);
    const response = await fetch(`${url}/galley.v1.JobService/WatchJobs`, {
      method: 'POST',
      headers: { 'content-type': 'application/connect+json', authorization: `Bearer ${TOKEN}` },
      body: Buffer.concat([head, message]),
    });
    expect(await response.text()).toMatch(/"a".*"b"/s);
  });
});
