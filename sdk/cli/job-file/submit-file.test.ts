import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { JobService, type SubmitJobRequest, SubmitMode } from '@galley/proto';
import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { cli } from '../../testing/cli.ts';
import { type FakeControlPlane, Refusal, startFakeControlPlane } from '../../testing/fake-control-plane.ts';

let fake: FakeControlPlane;
let directory: string;
let calls: { mode: SubmitMode; jobs: SubmitJobRequest[] }[];
let refusal: Refusal | undefined;

beforeEach(async () => {
  fake = await startFakeControlPlane();
  directory = mkdtempSync(join(tmpdir(), 'galley-jobs-'));
  calls = [];
  refusal = undefined;
  fake.on(JobService, {
    submitJobs({ mode, jobs }) {
      calls.push({ mode, jobs });
      if (refusal !== undefined) throw refusal;
      return {
        results: jobs.map(({ jobId, jobName, jobQueue }, at) => ({
          result: { case: 'job', value: { jobId, jobName, jobQueue, number: BigInt(at + 1) } },
        })),
      };
    },
  });
});
afterEach(async () => {
  await fake.stop();
  rmSync(directory, { recursive: true });
});

const GOOD = 'jobs:\n - {name: b, command: [x], queue: q, depends_on: a}\n - {name: a, command: [y]}\n';

function submit(text: string, ...words: string[]) {
  const file = join(directory, 'jobs.yaml');
  writeFileSync(file, text);
  const env = { GALLEY_ADDRESS: fake.address, GALLEY_TOKEN: 't', XDG_STATE_HOME: directory };
  return cli(['submit', '-f', file, ...words], { env });
}

it('submits a whole file as one', async () => {
  const { code, stdout } = await submit(GOOD);
  expect(code).toBe(0);
  expect(stdout).toBe('Job 1 (a) in queue \nJob 2 (b) in queue q\n');
  const [call] = calls;
  expect(calls).toHaveLength(1);
  expect(call?.mode).toBe(SubmitMode.ATOMIC);
  expect(call?.jobs[1]?.dependsOn[0]?.jobId).toBe(call?.jobs[0]?.jobId);
});

it('submits nothing of a file with one wrong line', async () => {
  const { code, stderr } = await submit(`${GOOD} - {name: c, command: [z], memory: lots}\n`);
  expect(code).toBe(125);
  expect(stderr).toContain('jobs.yaml:4:36: jobs[2].memory: ');
  expect(calls).toEqual([]);
});

it('asks for the same jobs when it is run again under the same request id', async () => {
  await submit(GOOD, '--request-id', 'night-1');
  await submit(GOOD, '--request-id', 'night-1');
  await submit(GOOD);
  const ids = calls.map(({ jobs }) => jobs.map(({ jobId }) => jobId));
  expect(ids[0]).toEqual(ids[1]);
  expect(ids[2]).not.toEqual(ids[0]);
});

it('shows a refusal of the control plane at its place in the file', async () => {
  const violations = [{ field: 'jobs[1].job_queue', description: 'job queue "q" does not exist' }];
  refusal = new Refusal({ code: status.NOT_FOUND, message: 'refused', violations });
  const { code, stderr } = await submit(GOOD);
  expect(code).toBe(125);
  expect(stderr).toContain('jobs.yaml:2:35: jobs[0].queue: job queue "q" does not exist');
});

it('says how to ask again when the answer is lost', async () => {
  refusal = new Refusal({ code: status.DEADLINE_EXCEEDED, message: 'too slow' });
  const { stderr } = await submit(GOOD, '--request-id', 'night-1');
  expect(stderr).toMatch(/may have been submitted.*\n.*--request-id night-1/);
});

it('prints what it would do and does nothing', async () => {
  const { code, stdout, stderr } = await submit(GOOD, '--dry-run');
  expect(code).toBe(0);
  expect(stdout).toMatch(/^NAME .*\na +default .*\nb +q .* a +x\n$/);
  expect(stderr).toContain('2 jobs would be submitted');
  expect(calls).toEqual([]);
});

it('refuses more than fits into one call, before it calls', async () => {
  const big = Array.from({ length: 20 }, (_, at) => ` - {name: j${at}, command: [x, ${'y'.repeat(40_000)}]}`);
  expect((await submit(`jobs:\n${big.join('\n')}\n`)).stderr).toMatch(
    /at most 1000 jobs and 524288 bytes, got 20 jobs/,
  );
  const many = Array.from({ length: 1_001 }, () => ' - {command: [x]}');
  expect((await submit(`jobs:\n${many.join('\n')}\n`)).stderr).toMatch(/1 to 1000 jobs, got 1001/);
  expect(calls).toEqual([]);
});

it('takes no options that the file must say', async () => {
  expect((await submit(GOOD, '--cpus', '2')).stderr).toMatch(/--cpus cannot go with --file/);
  expect((await submit(GOOD, '--', 'true')).stderr).toMatch(/a command cannot go with --file/);
  expect((await cli(['submit', '--dry-run', '--', 'true'])).stderr).toMatch(/go with --file/);
});
