import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DependencyType, EndCause, JobService, JobState, type SubmitJobRequest } from '@galley/proto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { cli } from '../testing/cli.ts';
import { type FakeControlPlane, startFakeControlPlane } from '../testing/fake-control-plane.ts';
import { parseArray } from './parse.ts';

const ID = '01234567-89ab-4def-8123-456789abcdef';
const SUBMITTED = { jobId: ID, number: 7n, jobName: 'work', jobQueue: 'default' };

let fake: FakeControlPlane;
let directory: string;
let env: NodeJS.ProcessEnv;

beforeEach(async () => {
  fake = await startFakeControlPlane();
  directory = mkdtempSync(join(tmpdir(), 'galley-cli-'));
  env = { GALLEY_ADDRESS: fake.address, GALLEY_TOKEN: 'secret', XDG_STATE_HOME: directory, XDG_CONFIG_HOME: directory };
});

afterEach(async () => {
  await fake.stop();
  rmSync(directory, { recursive: true });
});

const galley = (args: string[]) => cli(args, { env });

const parent = (state: JobState, counts: Record<string, bigint>) => ({
  ...SUBMITTED,
  state,
  statusReason: state === JobState.FAILED ? 'Array Child Job failed' : '',
  array: { size: 3, statusSummary: counts },
});

test('submit makes an array of a number, or of indices, with its rules', async () => {
  const seen: SubmitJobRequest[] = [];
  fake.on(JobService, {
    submitJob(request) {
      seen.push(request);
      return SUBMITTED;
    },
  });
  await galley(['submit', '--array', '100', '--fail-fast', '5', '--canary', '2', '--sequential', '--', 'work']);
  await galley(['submit', '--array', '1-96:2%10', '--depends-on-each', ID, '--', 'work']);
  expect(seen).toMatchObject([
    {
      array: { size: 100, indices: '', concurrency: 0, failFastAfter: 5, canary: 2 },
      dependsOn: [{ jobId: '', type: DependencyType.SEQUENTIAL }],
    },
    { array: { size: 0, indices: '1-96:2', concurrency: 10 }, dependsOn: [{ jobId: ID, type: DependencyType.N_TO_N }] },
  ]);
  const mistaken = await galley(['submit', '--canary', '2', '--', 'work']);
  expect(mistaken).toMatchObject({ code: 125, stderr: expect.stringContaining('are for arrays') });
  expect((await galley(['submit', '--array', '0', '--', 'work'])).code).toBe(125);
});

test('an array option says what is wrong with it', () => {
  expect(parseArray('1,5,7-9')).toEqual({ indices: '1,5,7-9' });
  expect(parseArray('12%3')).toEqual({ size: 12, concurrency: 3 });
  for (const text of ['', '0', '5%0', 'abc', '1%']) expect(() => parseArray(text)).toThrow(/An array looks like/);
});

test('jobs --children lists them, and a child is named by its index', async () => {
  const asked: unknown[] = [];
  fake.on(JobService, {
    listJobs({ arrayJobId, states }) {
      asked.push([arrayJobId, states]);
      return { jobs: [{ ...SUBMITTED, jobId: `${ID}:2`, arrayIndex: 2, state: JobState.RUNNING }] };
    },
    getJob({ job }) {
      asked.push(job);
      return { job: { summary: { ...SUBMITTED, jobId: `${ID}:2`, arrayIndex: 2, givenIndex: 30 } } };
    },
  });
  const { stdout } = await galley(['jobs', '--children', '7', '--state', 'running']);
  expect(stdout).toMatch(/^ *7:2 +work +RUNNING/m);
  expect((await galley(['job', '7:2'])).stdout).toMatch(/Job +7:2 {2}work[\s\S]*Index +30/);
  expect(asked).toEqual([['7', [JobState.RUNNING]], '7:2']);
});

test('wait exits with 1 when a child of an array failed, and says how many did', async () => {
  fake.on(JobService, {
    async *watchJobs() {
      yield { jobs: [parent(JobState.PENDING, { runnable: 1n, running: 1n, succeeded: 1n })] };
      yield { jobs: [parent(JobState.FAILED, { succeeded: 2n, failed: 1n })] };
    },
  });
  expect(await galley(['wait', ID])).toMatchObject({
    code: 1,
    stdout: 'Job 7 (work) failed: 1 of 3 children failed (Array Child Job failed)\n',
  });
});

test('the log of an array is the log of its children', async () => {
  fake.on(JobService, { getJob: () => ({ job: { summary: parent(JobState.PENDING, { running: 3n }) } }) });
  const { code, stderr } = await galley(['logs', '7']);
  expect(code).toBe(125);
  expect(stderr).toContain('galley logs 7:0');
});

test('rerun chooses by how they ended, with more memory, and names each call once', async () => {
  const seen: unknown[] = [];
  fake.on(JobService, {
    rerunJobs({ jobIds, causes, resources, rerunId }) {
      seen.push([jobIds, causes, resources?.memoryBytes, rerunId.length]);
      return { jobs: causes.length === 0 ? [] : [{ ...SUBMITTED, number: 8n }] };
    },
  });
  const more = await galley(['rerun', ID, '--out-of-memory', '--timed-out', '--memory', '2g']);
  expect(more).toMatchObject({ code: 0, stdout: 'Job 8 (work) in queue default\n' });
  expect((await galley(['rerun', `${ID}:1`])).stderr).toContain('nothing is run again');
  expect(seen).toEqual([
    [[ID], [EndCause.TIMED_OUT, EndCause.OUT_OF_MEMORY], 2n * 1024n ** 3n, 36],
    [[`${ID}:1`], [], undefined, 36],
  ]);
});
