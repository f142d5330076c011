import { JobService, JobState, toStatus } from '@galley/proto';
import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { connectGalley, type GalleyClient } from './client.ts';
import { GalleyError } from './errors.ts';
import { type FakeControlPlane, Refusal, startFakeControlPlane } from './testing/fake-control-plane.ts';

let fake: FakeControlPlane;
let galley: GalleyClient;

beforeEach(async () => {
  fake = await startFakeControlPlane();
  galley = connectGalley({
    address: fake.address,
    token: 'secret',
    env: {},
    retry: { initialBackoffMs: 5, maxBackoffMs: 20 },
  });
});

afterEach(async () => {
  galley.close();
  await fake.stop();
});

test('a submit carries what was asked for, and its answer is plain', async () => {
  fake.on(JobService, {
    submitJob({ jobId, jobName, task, retryStrategy, timeout, dependsOn }, { authorization }) {
      expect(authorization).toBe('Bearer secret');
      expect(jobName).toBe('make');
      expect(task?.command).toEqual(['/usr/bin/make', 'all']);
      expect(task?.resources).toMatchObject({ milliVcpu: 250n, memoryBytes: 1024n ** 3n });
      expect(task?.resources?.named).toMatchObject([{ name: 'gpu', count: 1n }]);
      expect(retryStrategy?.attempts).toBe(3);
      expect(timeout?.attemptDurationSeconds).toBe(90n);
      expect(dependsOn).toMatchObject([{ jobId: 'a' }, { jobId: 'b', type: 3 }]);
      return { jobId, number: 7n, jobName, resources: { milliVcpu: 250n, memoryBytes: 1024n ** 3n } };
    },
  });
  const job = await galley.submitJob({
    command: ['/usr/bin/make', 'all'],
    resources: { vcpus: 0.25, memoryBytes: 1024 ** 3, named: { gpu: 1 } },
    attempts: 3,
    timeoutSeconds: 90,
    dependsOn: ['a', { jobId: 'b', type: 'AFTER_ANY' }],
  });
  expect(job).toMatchObject({ number: 7, existed: false, resources: { milliVcpu: 250, memoryBytes: 1024 ** 3 } });
});

test('a submit whose answer was lost is sent again with the same id', async () => {
  const ids: string[] = [];
  fake.on(JobService, {
    submitJob({ jobId }) {
      ids.push(jobId);
      if (ids.length < 3) throw new Refusal({ code: status.UNAVAILABLE, message: 'lost', reason: 'OUTCOME_UNKNOWN' });
      return { jobId, number: 1n, existed: true };
    },
  });
  expect(await galley.submitJob({ command: ['true'] })).toMatchObject({ existed: true });
  expect(ids).toHaveLength(3);
  expect(new Set(ids).size).toBe(1);
});

test('a submit that finds the server restarting arrives when it is back', async () => {
  fake.on(JobService, { submitJob: ({ jobId }) => ({ jobId, number: 1n }) });
  const patient = connectGalley({ address: fake.address, env: {}, retry: { attempts: 40, maxBackoffMs: 100 } });
  await fake.stop();
  const submitted = patient.submitJob({ command: ['true'] });
  await fake.start();
  expect(await submitted).toMatchObject({ number: 1 });
  patient.close();
});

test('tries are bounded, and what could not be settled is said to be unknown', async () => {
  let tries = 0;
  fake.on(JobService, {
    submitJob() {
      tries += 1;
      throw new Refusal({ code: status.UNAVAILABLE, message: 'ask again', reason: 'OUTCOME_UNKNOWN' });
    },
  });
  const impatient = connectGalley({ address: fake.address, env: {}, retry: { attempts: 2, initialBackoffMs: 1 } });
  await expect(impatient.submitJob({ command: ['true'] })).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' });
  expect(tries).toBe(2);
  impatient.close();
});

test('a refused submit names fields, constraints and values', async () => {
  const violations = [{ field: 'task.resources.memory_bytes', description: 'must be at least 4194304, got 1' }];
  fake.on(JobService, {
    submitJob() {
      throw new Refusal({ code: status.INVALID_ARGUMENT, message: 'refused', violations });
    },
  });
  const error = await galley.submitJob({ command: ['true'] }).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(GalleyError);
  expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', violations });
});

test('many jobs go in calls that the server takes, with one result each, in order', async () => {
  const sizes: number[] = [];
  fake.on(JobService, {
    submitJobs({ jobs }) {
      sizes.push(jobs.length);
      return {
        results: jobs.map(({ jobId, jobName }) =>
          jobName === 'bad'
            ? {
                result: {
                  case: 'error' as const,
                  value: toStatus({ code: status.NOT_FOUND, message: 'no queue named x' }),
                },
              }
            : { result: { case: 'job' as const, value: { jobId, jobName, number: 1n } } },
        ),
      };
    },
  });
  const jobs = Array.from({ length: 5_001 }, (_, index) => ({
    command: ['true'],
    jobName: index === 5_000 ? 'bad' : `job-${index}`,
  }));
  const results = await galley.submitJobs(jobs);
  expect(sizes).toEqual([5_000, 1]);
  expect(results).toHaveLength(5_001);
  expect(results[4_999]).toMatchObject({ ok: true, job: { jobName: 'job-4999' } });
  expect(results[5_000]).toMatchObject({ ok: false, error: { code: 'NOT_FOUND', message: 'no queue named x' } });
});

test('an atomic submit that cannot be one call is refused before it is sent', async () => {
  const jobs = Array.from({ length: 1_001 }, () => ({ command: ['true'] }));
  await expect(galley.submitJobs(jobs, { mode: 'atomic' })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
});

test('a list is read page by page', async () => {
  fake.on(JobService, {
    listJobs({ page, states }) {
      expect(states).toEqual([JobState.RUNNING]);
      const at = Number(page?.pageToken || 0);
      const jobs = [{ number: BigInt(at), state: JobState.RUNNING, createdAtMs: 5n }];
      return { jobs, nextPageToken: at === 2 ? '' : String(at + 1) };
    },
  });
  const jobs = [];
  for await (const job of galley.listJobs({ states: ['RUNNING'] })) jobs.push(job);
  expect(jobs.map(({ number }) => number)).toEqual([0, 1, 2]);
  expect(jobs[0]).toMatchObject({ state: 'RUNNING', createdAtMs: 5 });
  expect(jobs[0]).not.toHaveProperty('startedAtMs');
  expect(jobs[0]).not.toHaveProperty('cause');
});

test('a wait survives a restart, tells each change once, and ends with the job', async () => {
  let streams = 0;
  const states = [JobState.RUNNABLE, JobState.RUNNING, JobState.RUNNING, JobState.SUCCEEDED];
  fake.on(JobService, {
    getJob: ({ job }) => ({ job: { summary: { jobId: job, state: JobState.SUCCEEDED } } }),
    async *watchJobs({ jobIds }) {
      const summary = (state: JobState | undefined) => ({ jobs: [{ jobId: jobIds[0] ?? '', state: state ?? 0 }] });
      if (streams++ === 0) {
        yield summary(states[0]);
        yield summary(states[1]);
        throw new Refusal({ code: status.UNAVAILABLE, message: 'restarting' });
      }
      yield summary(states[2]);
      yield summary(states[3]);
    },
  });
  const seen: string[] = [];
  const job = await galley.waitForJob('abcd', { onChange: ({ state }) => seen.push(state) });
  expect(seen).toEqual(['RUNNABLE', 'RUNNING', 'SUCCEEDED']);
  expect(job.summary.state).toBe('SUCCEEDED');
});

test('a wait gives up after its time, and says so', async () => {
  fake.on(JobService, {
    getJob: ({ job }) => ({ job: { summary: { jobId: job, state: JobState.RUNNING } } }),
    async *watchJobs({ jobIds }, { signal }) {
      yield { jobs: [{ jobId: jobIds[0] ?? '', state: JobState.RUNNING }] };
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
    },
  });
  await expect(galley.waitForJob('abcd', { timeoutMs: 60 })).rejects.toMatchObject({ code: 'WAIT_TIMED_OUT' });
});

test('a wait for a job that nobody knows does not wait', async () => {
  fake.on(JobService, {
    async *watchJobs({ jobIds }) {
      yield { unknownJobIds: jobIds };
    },
  });
  await expect(galley.watchJobs(['x']).next()).rejects.toMatchObject({ code: 'NOT_FOUND' });
});

test('an enormous job among others is refused by itself, before anything of it is sent', async () => {
  fake.on(JobService, {
    submitJobs: ({ jobs }) => ({
      results: jobs.map(({ jobId }) => ({ result: { case: 'job' as const, value: { jobId } } })),
    }),
  });
  const huge = { command: ['echo', 'x'.repeat(10 * 1024 * 1024)] };
  const results = await galley.submitJobs([{ command: ['a'] }, huge, { command: ['b'] }]);
  expect(results.map(({ ok }) => ok)).toEqual([true, false, true]);
  await expect(galley.submitJob(huge)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
});

test.each([
  [{ vcpus: Number.NaN }, 'resources.vcpus'],
  [{ memoryBytes: Number.POSITIVE_INFINITY }, 'resources.memoryBytes'],
  [{ named: { gpu: Number.NaN } }, 'resources.named.gpu'],
])('%o names the field at fault', async (resources, field) => {
  await expect(galley.submitJob({ command: ['true'], resources })).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
    violations: [{ field }],
  });
});

test('rules for retries travel, with one attempt where none is given', async () => {
  let seen: unknown;
  fake.on(JobService, {
    submitJob({ jobId, retryStrategy }) {
      seen = retryStrategy;
      return { jobId };
    },
  });
  const evaluateOnExit = [{ action: 'EXIT', onExitCode: '2' } as const];
  await galley.submitJob({ command: ['true'], attempts: 4, evaluateOnExit });
  expect(seen).toMatchObject({ attempts: 4, evaluateOnExit: [{ action: 2, onExitCode: '2', onReason: '' }] });
  await galley.submitJob({ command: ['true'], evaluateOnExit });
  expect(seen).toMatchObject({ attempts: 1 });
});
