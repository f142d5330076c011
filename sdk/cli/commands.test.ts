import { EventEmitter } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import {
  AdminService,
  CancelOutcome,
  EndCause,
  HistoryService,
  JobDefinitionService,
  JobService,
  JobState,
  LogService,
} from '@galley/proto';
import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type CliOptions, cli } from '../testing/cli.ts';
import { type FakeControlPlane, Refusal, startFakeControlPlane } from '../testing/fake-control-plane.ts';

const ID = '01234567-89ab-4def-8123-456789abcdef';

let fake: FakeControlPlane;
let directory: string;
let env: NodeJS.ProcessEnv;

beforeEach(async () => {
  fake = await startFakeControlPlane();
  directory = mkdtempSync(join(tmpdir(), 'galley-cli-'));
  env = {
    GALLEY_ADDRESS: fake.address,
    GALLEY_TOKEN: 'secret',
    XDG_STATE_HOME: directory,
    XDG_CONFIG_HOME: directory,
    XDG_DATA_HOME: directory,
  };
});

afterEach(async () => {
  await fake.stop();
  rmSync(directory, { recursive: true, force: true });
});

const galley = (words: readonly string[], options: CliOptions = {}) => cli(words, { env, ...options });

/** A control plane with one job, which ends as said after having written its log. */
function withJob(end: { exitCode?: number; signal?: number; cause?: EndCause; state?: JobState }, log = 'hello\n') {
  const state = end.state ?? (end.exitCode === 0 ? JobState.SUCCEEDED : JobState.FAILED);
  const summary = (now: JobState) => ({ jobId: ID, number: 7n, jobName: 'make', attempts: 1, ...end, state: now });
  const seen = { submitted: [] as string[][], cancelled: [] as object[] };
  fake.on(JobService, {
    submitJob({ jobName, task }) {
      seen.submitted.push([jobName, ...(task?.command ?? [])]);
      const resources = { milliVcpu: 1000n, memoryBytes: 512n * 1024n * 1024n };
      return { jobId: ID, number: 7n, jobName, jobQueue: 'default', resources };
    },
    getJob({ job }) {
      if (!['7', ID, '0123'].includes(job))
        throw new Refusal({ code: status.NOT_FOUND, message: `no job is named ${job}` });
      return { job: { summary: summary(state), attempts: [{ attempt: 1, peakMemoryBytes: 3n * 1024n * 1024n }] } };
    },
    async *watchJobs() {
      yield { jobs: [summary(JobState.RUNNING)] };
      yield { jobs: [summary(state)] };
    },
    cancelJobs(request) {
      seen.cancelled.push({ ids: request.jobIds, reason: request.reason, mode: request.mode });
      const result = { number: 7n, state: JobState.RUNNING, outcome: CancelOutcome.STOPPING };
      return { results: request.jobIds.map((jobId) => ({ jobId, ...result })) };
    },
  });
  fake.on(LogService, {
    async *followLog() {
      yield { attempt: 1, chunks: [{ offset: 0n, data: Buffer.from(log) }], ended: true };
    },
    readLog: () => ({ attempt: 1, chunks: [{ data: Buffer.from(log) }], nextOffset: BigInt(log.length), ended: true }),
  });
  return seen;
}

test('submit says number, queue and the defaults given, and @last is that job', async () => {
  const seen = withJob({ exitCode: 0 });
  const submitted = await galley(['submit', '--cpus', '1', 'make', '-j', '4', '--json']);
  expect(submitted).toEqual({
    code: 0,
    stdout: 'Job 7 (make) in queue default: 1 vCPU, 512 MiB (default)\n',
    stderr: '',
  });
  // What follows the program is the program's, dashes or not.
  expect(seen.submitted).toEqual([['make', 'make', '-j', '4', '--json']]);
  expect((await galley(['logs', '@last'])).stdout).toBe('hello\n');
  expect((await galley(['submit', '--quiet', '--', 'make'])).stdout).toBe('7\n');
  const json = JSON.parse((await galley(['submit', '--json', '--', 'make'])).stdout) as object;
  expect(json).toMatchObject({ jobId: ID, number: 7, resources: { milliVcpu: 1000, memoryBytes: 536870912 } });
});

test('run shows the output and exits as the job', async () => {
  withJob({ exitCode: 0 });
  expect(await galley(['run', '--', 'make'])).toMatchObject({ code: 0, stdout: 'hello\n' });
  withJob({ exitCode: 3, cause: EndCause.EXITED });
  const failed = await galley(['run', '--', 'make']);
  expect(failed).toMatchObject({ code: 3, stdout: 'hello\n' });
  expect(failed.stderr).toContain('Job 7 (make) failed: exit 3');
  withJob({ signal: 9, cause: EndCause.OUT_OF_MEMORY });
  expect((await galley(['run', '--quiet', '--', 'make'])).code).toBe(137);
  withJob({ cause: EndCause.LAUNCH_FAILED, state: JobState.FAILED });
  expect((await galley(['run', '--quiet', '--', 'make'])).code).toBe(125);
  withJob({ exitCode: 0, cause: EndCause.STOPPED, state: JobState.FAILED });
  expect((await galley(['run', '--quiet', '--', 'make'])).code).toBe(125);
});

test('Ctrl-C in run leaves the job alone and says how to look at it and stop it', async () => {
  withJob({ exitCode: 0 });
  fake.on(JobService, {
    getJob: ({ job }) => ({ job: { summary: { jobId: job, state: JobState.RUNNING } } }),
    async *watchJobs(_request, { signal }) {
      yield { jobs: [{ jobId: ID, number: 7n, state: JobState.RUNNING, attempts: 1 }] };
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
    },
  });
  const signals = new EventEmitter();
  const onOutput = (text: string) => {
    if (text.includes('hello')) signals.emit('SIGINT');
  };
  const result = await galley(['run', '--', 'make'], { signals, onOutput });
  expect(result.code).toBe(130);
  expect(result.stderr).toContain('galley logs -f 7');
  expect(result.stderr).toContain('galley cancel 7');
  expect(signals.listenerCount('SIGINT')).toBe(0);
});

test('wait exits as the job, and with 124 when its time is over', async () => {
  withJob({ exitCode: 4, cause: EndCause.EXITED });
  expect(await galley(['wait', '7'])).toMatchObject({ code: 4, stdout: 'Job 7 (make) failed: exit 4\n' });
  fake.on(JobService, {
    async *watchJobs(_request, { signal }) {
      yield { jobs: [{ jobId: ID, state: JobState.RUNNING }] };
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
    },
  });
  const late = await galley(['wait', '--timeout', '50ms', '7']);
  expect(late.code).toBe(124);
  expect(late.stderr).toContain('1 job of 1 not over');
});

test('cancel ends jobs; --pending-only is the other mode; references are looked up', async () => {
  const seen = withJob({ exitCode: 0 });
  const result = await galley(['cancel', '0123', '--reason', 'wrong input']);
  expect(result.stdout).toContain('Job 7 is being stopped');
  await galley(['cancel', '--pending-only', ID]);
  expect(seen.cancelled).toEqual([
    { ids: [ID], reason: 'wrong input', mode: 1 },
    { ids: [ID], reason: 'Cancelled', mode: 2 },
  ]);
});

test('a job is named by number, id or prefix; anything else is refused here', async () => {
  withJob({ exitCode: 0 });
  for (const reference of ['7', '#7', ID, '0123']) expect((await galley(['job', reference])).code).toBe(0);
  for (const reference of ['x', 'ab', '0', '-7x', 'make']) {
    const result = await galley(['job', '--', reference]);
    expect(result.code).toBe(125);
    expect(result.stderr).toContain(`"${reference}"`);
  }
  expect(await galley(['job', '8'])).toMatchObject({ code: 125, stderr: 'galley: no job is named 8\n' });
  expect((await galley(['job', '@last'])).stderr).toContain('galley submit');
});

test('jobs is a table, or an array; states are checked here', async () => {
  fake.on(JobService, {
    listJobs: ({ states }) => ({
      jobs: [
        {
          jobId: ID,
          number: 12n,
          jobName: 'make',
          jobQueue: 'default',
          user: 'alice',
          state: states[0] ?? JobState.FAILED,
          exitCode: 2,
          cause: EndCause.EXITED,
          resources: { milliVcpu: 250n, memoryBytes: 1024n ** 3n },
          startedAtMs: 1_000n,
          stoppedAtMs: 66_000n,
        },
      ],
    }),
  });
  const { stdout } = await galley(['jobs']);
  expect(stdout.split('\n')[1]).toMatch(/^ 12 {2}make {2}FAILED {2}default {2}alice {2}0\.25 {3}1 GiB .* 1m 05s {5}2$/);
  expect(stdout).not.toContain('\u001b');
  const coloured = await galley(['jobs'], { terminal: { columns: 200 } });
  expect(coloured.stdout).toContain('\u001b[31mFAILED');
  const dull = await galley(['jobs'], { terminal: { columns: 200 }, env: { ...env, NO_COLOR: '1' } });
  expect(dull.stdout).not.toContain('\u001b');
  const json = JSON.parse((await galley(['jobs', '--json', '--state', 'running'])).stdout) as object[];
  expect(json).toMatchObject([{ number: 12, state: 'RUNNING', startedAtMs: 1000 }]);
  const wrong = await galley(['jobs', '--state', 'sleeping']);
  expect(wrong.code).toBe(125);
  expect(wrong.stderr).toContain("'SLEEPING' is invalid. Known are submitted");
  for (const words of [
    ['jobs', '--no-color'],
    ['--no-color', 'jobs'],
  ]) {
    expect((await galley(words, { terminal: { columns: 200 } })).stdout).toBe(dull.stdout);
  }
  expect((await galley(['jobs', '--color'])).stdout).toContain('\u001b[');
});

test('empty lists and an absent control plane say what to type', async () => {
  fake.on(JobService, { listJobs: () => ({ jobs: [] }) });
  expect(await galley(['jobs'])).toEqual({
    code: 0,
    stdout: '',
    stderr: 'no jobs yet; submit one: galley submit -- echo hello\n',
  });
  expect((await galley(['jobs', '--json'])).stdout).toBe('[]\n');
  expect((await galley(['jobs', '--user', 'bob'])).stderr).toContain('no job matches');
  const absent = await cli(['jobs', '--data-dir', directory], { env: {} });
  expect(absent.code).toBe(125);
  expect(absent.stderr).toContain(directory);
  expect(absent.stderr).toContain('  galley up\n');
});

test('a control plane that is gone is told with its address, quickly', async () => {
  await fake.stop();
  const result = await galley(['status']);
  expect(result.code).toBe(125);
  expect(result.stderr).toMatch(
    new RegExp(`^galley: the control plane at ${fake.address} cannot be reached: connect ECONNREFUSED`),
  );
});

test('a refused request names fields; under --json the error is JSON', async () => {
  const violations = [{ field: 'job_queue', description: 'no queue is named "x"' }];
  fake.on(JobService, {
    submitJob() {
      throw new Refusal({ code: status.INVALID_ARGUMENT, message: 'refused', violations });
    },
  });
  const result = await galley(['submit', '-q', 'x', '--', 'make']);
  expect(result).toMatchObject({
    code: 125,
    stderr: 'galley: the request was refused\n  job_queue: no queue is named "x"\n',
  });
  const json = await galley(['submit', '--json', '--', 'make']);
  expect(JSON.parse(json.stderr)).toEqual({ error: { code: 'INVALID_ARGUMENT', message: 'refused', violations } });
});

test('wrong options name option, value and constraint, and exit 125', async () => {
  for (const [words, text] of [
    [['submit', '--memory', '12x', '--', 'a'], "option '--memory <size>' argument '12x' is invalid. A size looks like"],
    [['submit', '--retries', '10', '--', 'a'], 'whole number from 0 to 9'],
    [['submit', '--nmae', 'x', '--', 'a'], "unknown option '--nmae'"],
    [['submit'], 'a job needs a command'],
    [['jbos'], '(Did you mean jobs?)'],
    [['node', 'drain', 'n1'], "required option '--reason <text>' not specified"],
  ] as const) {
    const result = await galley(words);
    expect(result.code).toBe(125);
    expect(result.stderr).toContain(text);
  }
});

test('a log with bytes missing says so beside the log, and in JSON', async () => {
  withJob({ exitCode: 0 });
  fake.on(LogService, {
    async *followLog() {
      yield {
        attempt: 1,
        chunks: [
          { offset: 0n, data: Buffer.from('a') },
          { offset: 1n, gapLength: 2048n, gapReason: 'the job wrote faster than its limit' },
          { offset: 2049n, data: Uint8Array.from([0xff]) },
        ],
        ended: true,
      };
    },
  });
  const plain = await galley(['logs', '7']);
  expect(plain.stderr).toBe('galley: 2 KiB are missing here: the job wrote faster than its limit\n');
  const lines = (await galley(['logs', '--json', '7'])).stdout.trim().split('\n');
  expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject([
    { stream: 'OUTPUT', offset: 0, text: 'a' },
    { offset: 1, gapLength: 2048 },
    { offset: 2049, base64: '/w==' },
  ]);
});

test('a definition takes options before and after its name, and a command behind --', async () => {
  fake.on(JobDefinitionService, {
    registerJobDefinition({ name, task }) {
      expect(task?.command).toEqual(['echo', '--cpus', 'Ref::what']);
      expect(task?.resources?.milliVcpu).toBe(500n);
      return { jobDefinition: { name, revision: 3, active: true } };
    },
  });
  const words = ['definition', 'register', 'build', '--cpus', '0.5', '--', 'echo', '--cpus', 'Ref::what'];
  expect((await galley(words)).stdout).toBe('Definition build:3 registered\n');
});

test('a stream that a job does not write is refused by name', async () => {
  withJob({ exitCode: 0 });
  const { code, stderr } = await galley(['logs', '7', '--stream', 'stderr']);
  expect([code, stderr]).toEqual([125, 'galley: job 7 writes output, not stderr\n  galley logs 7\n']);
});

test('history as a table, CSV and sums', async () => {
  fake.on(HistoryService, {
    listAttemptRecords: ({ filter }) => ({
      records: [
        { jobId: ID, number: 7n, attempt: 1, user: filter?.user ?? '', jobName: 'a,b', state: JobState.SUCCEEDED },
      ],
    }),
    summarizeAttemptRecords: ({ groupBy }) => ({ groups: [{ key: `by ${groupBy}`, attempts: 3n, runSeconds: 90 }] }),
  });
  const csv = (await galley(['history', '--user', 'alice', '--csv'])).stdout.split('\n');
  expect(csv[0]).toContain('number,job_id,attempt,user,job_name');
  expect(csv[1]).toContain(`7,${ID},1,alice,"a,b"`);
  expect(csv[0]).toMatch(/,account$/);
  expect((await galley(['history', '--by', 'queue'])).stdout).toMatch(/by 2 +3 +0 +1m 30s/);
});

test('status is one screen, with what to do when scheduling is held back', async () => {
  fake.on(AdminService, {
    getClusterStatus: () => ({
      version: '0.1.0',
      liveJobs: { pending: 1n, runnable: 2n, running: 3n },
      nodes: 2,
      readyNodes: 1,
      awaitedNodes: ['n2'],
      pauses: [{ cause: 2, message: 'restored from a backup of yesterday' }],
    }),
  });
  const { stdout, stderr } = await galley(['status']);
  expect(stdout).toContain('1 ready of 2');
  expect(stdout).toContain('0 submitted, 1 pending, 2 runnable, 0 starting, 3 running, 0 ended');
  expect(stdout).toContain('Paused (restored): restored from a backup of yesterday');
  expect(stderr).toBe('  galley resume --waive-missing-nodes\n');
});

test('a backup appears whole or not at all', async () => {
  let whole = false;
  fake.on(AdminService, {
    async *backup() {
      yield { data: Buffer.from('one'), recordsDone: 1n };
      await setImmediate();
      if (whole) yield { data: Buffer.from('two'), recordsDone: 2n, position: { epoch: 1n, sequence: 9n } };
    },
  });
  const file = join(directory, 'b');
  expect((await galley(['backup', file])).code).toBe(125);
  const { readdirSync, readFileSync } = await import('node:fs');
  expect(readdirSync(directory).filter((name) => name.startsWith('b'))).toEqual([]);
  whole = true;
  expect((await galley(['backup', file])).stdout).toContain('6 B, 2 records, up to 1.9');
  expect(readFileSync(file, 'utf8')).toBe('onetwo');
});
