import { once } from 'node:events';
import { access, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import {
  AdminService,
  ComputeEnvironmentService,
  JobDefinitionService,
  JobQueueService,
  JobService,
  JobState,
  PauseCause,
  serviceClient,
} from '@galley/proto';
import { type Client, status } from '@grpc/grpc-js';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type RunningServer, runServer, type ServerOptions } from './main.ts';
import { restoreBackup } from './restore.ts';
import { connect, failure, withToken } from './server/testing/call.ts';
import { type TestDirectory, testDirectory } from './store/testing.ts';

let directory: TestDirectory;
const open: (RunningServer | Client)[] = [];
const logged: string[] = [];

beforeEach(async () => {
  directory = await testDirectory();
  logged.length = 0;
});
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
  await directory[Symbol.asyncDispose]();
});

const dataDir = () => join(directory.path, 'data');

async function start(options: Partial<ServerOptions> = {}): Promise<RunningServer> {
  const log = pino({ level: 'warn' }, { write: (line) => void logged.push(line) });
  const server = await runServer({ dataDir: dataDir(), port: 0, allowMemoryFileSystem: true, log, ...options });
  open.push(server);
  return server;
}

async function client(
  server: RunningServer,
): Promise<{ channel: Client; options: { metadata: ReturnType<typeof withToken> } }> {
  const channel = connect(server.address);
  open.push(channel);
  const token = (await readFile(join(dataDir(), 'token'), 'utf8')).trim();
  return { channel, options: { metadata: withToken(token) } };
}

const refusal = async (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'it started',
    (error: unknown) => error,
  );

it('starts on nothing, with all that a first job needs, and says where it is', async () => {
  const server = await start();
  const { channel, options } = await client(server);
  const { jobQueue } = await serviceClient(JobQueueService, channel).getJobQueue({ name: 'default' }, options);
  expect(jobQueue?.computeEnvironments).toEqual(['default']);
  const { computeEnvironments } = await serviceClient(ComputeEnvironmentService, channel).listComputeEnvironments(
    {},
    options,
  );
  expect(computeEnvironments.map(({ name }) => name)).toEqual(['default']);
  const { jobDefinitions } = await serviceClient(JobDefinitionService, channel).listJobDefinitions({}, options);
  expect(jobDefinitions).toMatchObject([{ name: 'default', revision: 1 }]);

  const endpoint: unknown = JSON.parse(await readFile(join(dataDir(), 'endpoint.json'), 'utf8'));
  const cluster = await serviceClient(AdminService, channel).getClusterStatus({}, options);
  expect(endpoint).toEqual({
    address: server.address,
    httpAddress: server.httpAddress,
    pid: process.pid,
    clusterId: cluster.clusterId,
  });
  expect(cluster).toMatchObject({ pauses: [], processId: BigInt(process.pid), dataDirectory: dataDir() });
  expect((await stat(dataDir())).mode & 0o777).toBe(0o700);
  expect((await stat(join(dataDir(), 'token'))).mode & 0o777).toBe(0o600);
});

it('keeps over a restart what it acknowledged', async () => {
  const first = await start();
  const before = await client(first);
  const jobId = crypto.randomUUID();
  const jobs = serviceClient(JobService, before.channel);
  const { number } = await jobs.submitJob({ jobId, jobName: 'kept', task: { command: ['true'] } }, before.options);
  await first.close();
  await expect(access(join(dataDir(), 'endpoint.json'))).rejects.toMatchObject({ code: 'ENOENT' });
  await first.closed;

  const after = await client(await start());
  const { job } = await serviceClient(JobService, after.channel).getJob({ job: jobId }, after.options);
  expect(job?.summary).toMatchObject({ number, jobName: 'kept', state: JobState.RUNNABLE });
});

it('tells in one sentence that the port is taken', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const address = other.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  try {
    expect(await refusal(start({ port }))).toMatchObject({
      code: 'ADDRESS_IN_USE',
      message: `127.0.0.1:${port} is in use by another program. Give another --port (or --http-port), or stop the other.`,
    });
  } finally {
    other.close();
  }
  await start();
});

it('tells in one sentence that another control plane has the data directory', async () => {
  await start();
  const second = await refusal(start());
  expect(second).toMatchObject({ code: 'LOCKED', message: expect.stringMatching(/in use by another control plane/) });
});

it('tells that its state is missing instead of beginning a new one', async () => {
  await (await start()).close();
  await rm(join(dataDir(), 'store'), { recursive: true });
  expect(await refusal(start())).toMatchObject({ code: 'STATE', message: expect.stringMatching(/is missing/) });
});

it('tells that its data directory is none', async () => {
  await writeFile(dataDir(), 'a file');
  expect(await refusal(start())).toMatchObject({ code: 'DATA_DIR' });
});

it('refuses an address that others reach, and warns when told that this is meant', async () => {
  expect(await refusal(start({ host: '0.0.0.0' }))).toMatchObject({ code: 'INSECURE_LISTEN' });
  const server = await start({ host: '0.0.0.0', insecureListen: true });
  expect(logged.join('')).toContain('WITHOUT ENCRYPTION');
  const { channel } = await client(server);
  const call = serviceClient(AdminService, channel).getClusterStatus({}, {});
  expect(await failure(call)).toMatchObject({ code: status.UNAUTHENTICATED });
});

it('stops when told to, by its signal and over the wire', async () => {
  const stop = new AbortController();
  const first = await start({ signal: stop.signal });
  stop.abort();
  await first.closed;
  const second = await start();
  const { channel, options } = await client(second);
  await serviceClient(AdminService, channel).shutdown({}, options);
  await second.closed;
});

it('hands out a backup that a restore takes, and which then waits for an operator', async () => {
  const { channel, options } = await client(await start());
  const jobs = serviceClient(JobService, channel);
  const requests = Array.from({ length: 200 }, (_, index) => ({ jobId: crypto.randomUUID(), jobName: `job-${index}` }));
  await jobs.submitJobs({ jobs: requests.map((one) => ({ ...one, task: { command: ['true'] } })) }, options);
  const pieces: Uint8Array[] = [];
  let position: unknown;
  for await (const piece of serviceClient(AdminService, channel).backup({}, options)) {
    pieces.push(piece.data);
    position = piece.position ?? position;
  }
  expect(position).toMatchObject({ epoch: 1n });
  const file = join(directory.path, 'backup');
  await writeFile(file, Buffer.concat(pieces));

  const restored = join(directory.path, 'restored');
  await restoreBackup(file, restored, { allowMemoryFileSystem: true });
  const server = await start({ dataDir: restored });
  const token = (await readFile(join(restored, 'token'), 'utf8')).trim();
  const other = connect(server.address);
  open.push(other);
  const admin = serviceClient(AdminService, other);
  const now = await admin.getClusterStatus({}, { metadata: withToken(token) });
  expect(now.pauses).toMatchObject([{ cause: PauseCause.RESTORED }]);
  expect(now.liveJobs).toMatchObject({ runnable: 200n, starting: 0n, running: 0n });
  const { pauses } = await admin.resumeScheduling({}, { metadata: withToken(token) });
  expect(pauses).toEqual([]);
});
