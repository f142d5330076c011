import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { GalleyClient } from '@galley/sdk';
import type { Job } from '@galley/sdk/types.ts';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { TestCluster, wholeLogOf } from '../harness/cluster.ts';
import { groupDirectories, processesIn } from '../harness/leftovers.ts';
import { eventually } from '../harness/wait.ts';

// Processes start and are killed here, and the machine may be busy.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 60_000 });

// What a job is given is what it gets: real processes in real control groups, as the user that they name.

const MEBIBYTE = 1024 * 1024;
const SMALL = { vcpus: 0.2, memoryBytes: 64 * MEBIBYTE, pids: 32 };

let cluster: TestCluster;
let client: GalleyClient;

beforeAll(async () => {
  cluster = await TestCluster.start();
  client = cluster.client();
});
afterAll(() => cluster.close());

const shell = (script: string): string[] => ['sh', '-c', script];

function onlyAttempt(job: Job): Job['attempts'][number] {
  const [attempt, ...more] = job.attempts;
  expect(more).toEqual([]);
  if (attempt === undefined) throw new Error(`job ${job.summary.number} has no attempt`);
  return attempt;
}

describe('memory', () => {
  it('is a hard limit: a job beyond it is killed, and told apart from one that exits', async () => {
    const memoryBytes = 48 * MEBIBYTE;
    // tail keeps what it reads until it has found a line's end.
    const command = shell('head -c 400000000 /dev/zero | tail; exit 0');
    const hog = await cluster.finish({ command: ['sh', '-c', `${command[2]}`], resources: { ...SMALL, memoryBytes } });
    const { peakMemoryBytes = 0 } = onlyAttempt(hog);
    expect(peakMemoryBytes).toBeGreaterThan(memoryBytes / 2);
    expect(peakMemoryBytes).toBeLessThanOrEqual(memoryBytes);
    // This shell left with 0 in spite of it, and then nothing has failed.
    expect(hog.summary.state).toBe('SUCCEEDED');

    const killed = await cluster.finish({
      command: shell('head -c 400000000 /dev/zero | tail'),
      resources: { ...SMALL, memoryBytes },
    });
    expect(killed.summary).toMatchObject({
      state: 'FAILED',
      cause: 'OUT_OF_MEMORY',
      reason: 'OutOfMemoryError: Container killed due to memory usage',
    });
    const exits = await cluster.finish({ command: shell('exit 137'), resources: SMALL });
    expect(exits.summary).toMatchObject({ cause: 'EXITED', exitCode: 137 });
  });
});

describe('vCPUs and time-outs', () => {
  it('half a vCPU is half a core, until the time-out ends the attempt with the text that clients know', async () => {
    const busy = await cluster.finish({
      command: shell('while :; do :; done'),
      resources: { ...SMALL, vcpus: 0.5 },
      timeoutSeconds: 3,
      stopGraceSeconds: 1,
    });
    expect(busy.summary).toMatchObject({ state: 'FAILED', cause: 'TIMED_OUT', signal: 15 });
    expect(busy.summary.statusReason).toContain('Job attempt duration exceeded timeout');
    const { cpuTimeUs = 0, startedAtMs = 0, stoppedAtMs = 0 } = onlyAttempt(busy);
    const cores = cpuTimeUs / 1000 / (stoppedAtMs - startedAtMs);
    // Other work on the machine may leave it less, and the last period may be given whole.
    expect(cores).toBeGreaterThan(0.1);
    expect(cores).toBeLessThan(0.65);
  });
});

describe('processes', () => {
  it('are bounded, and a job that makes too many hurts nobody else', async () => {
    const bomb = await cluster.finish({
      command: shell('i=0; while [ $i -lt 40 ]; do sleep 60 & i=$((i+1)); done'),
      resources: { ...SMALL, pids: 12 },
    });
    expect(bomb.summary).toMatchObject({ state: 'FAILED', cause: 'EXITED' });
    expect(await wholeLogOf(client, bomb.summary.jobId)).toMatch(/fork|Resource temporarily unavailable/i);
    const after = await cluster.finish({ command: shell('sleep 0 & sleep 0 & wait; echo fine'), resources: SMALL });
    expect(await wholeLogOf(client, after.summary.jobId)).toBe('fine\n');
    const { incarnation } = await client.getNode('node-1');
    expect(processesIn(groupDirectories(incarnation))).toEqual([]);
  });
});

describe('a job that is cancelled', () => {
  it('gets SIGTERM, its grace, and then SIGKILL with all its children', async () => {
    const { jobId } = await client.submitJob({
      command: shell(`trap 'echo "not yet"' TERM; sleep 1000 & echo up; while :; do sleep 0.1; done`),
      resources: SMALL,
    });
    await eventually('it runs', async () => {
      const { chunks } = await client.readLog(jobId);
      return chunks.length > 0;
    });
    const askedAt = Date.now();
    const [answer] = await client.cancelJobs([jobId], { reason: 'enough', graceSeconds: 1 });
    expect(answer?.outcome).toBe('STOPPING');
    const { summary } = await client.waitForJob(jobId, { timeoutMs: 15_000 });
    expect(Date.now() - askedAt).toBeGreaterThanOrEqual(1_000);
    expect(summary).toMatchObject({ state: 'FAILED', cause: 'STOPPED', signal: 9, statusReason: 'enough' });
    expect(await wholeLogOf(client, jobId)).toMatch(/^up\n(.*\n)?not yet\n$/);
    const { incarnation } = await client.getNode('node-1');
    expect(processesIn(groupDirectories(incarnation))).toEqual([]);
  });
});

describe('whose job it is', () => {
  const user = `galley-t${process.pid}`;
  const group = `galley-g${process.pid}`;

  beforeAll(() => {
    execFileSync('groupadd', [group]);
    execFileSync('useradd', ['--groups', group, '--no-create-home', '--home-dir', '/tmp', '--shell', '/bin/sh', user]);
  });
  afterAll(() => {
    execFileSync('userdel', [user], { stdio: 'pipe' });
    execFileSync('groupdel', [group], { stdio: 'pipe' });
  });

  const whoAmI = shell('id -un; id -Gn; echo "$HOME $USER $LOGNAME $SHELL $PATH"; umask; pwd');

  it('root’s own jobs run as the unprivileged default user', async () => {
    const { summary } = await cluster.finish({ command: whoAmI, resources: SMALL });
    const [name] = (await wholeLogOf(client, summary.jobId)).split('\n');
    const known = readFileSync('/etc/passwd', 'utf8').includes('\ngalley-job:') ? 'galley-job' : 'nobody';
    expect(name).toBe(known);
  });

  it('a named user’s job runs as that user, supplementary groups and account included', async () => {
    const { summary } = await cluster.finish({ command: whoAmI, user, resources: SMALL });
    expect((await wholeLogOf(client, summary.jobId)).split('\n')).toEqual([
      user,
      expect.stringMatching(new RegExp(`\\b${user}\\b.*\\b${group}\\b`)),
      `/tmp ${user} ${user} /bin/sh /usr/local/bin:/usr/bin:/bin`,
      '0022',
      '/tmp',
      '',
    ]);
  });

  it('a user that the node does not know is a fault of that node, told as such', async () => {
    const { summary } = await cluster.finish({ command: whoAmI, user: 'nobody-knows-me', resources: SMALL });
    expect(summary).toMatchObject({ state: 'FAILED', cause: 'LAUNCH_FAILED' });
    expect(summary.reason).toMatch(/node .* nobody-knows-me/);
    expect(summary.exitCode).toBeUndefined();
  });
});

describe('what a job writes', () => {
  it('to stdout and stderr is kept apart on request', async () => {
    const command = shell('echo one; echo two >&2; echo three');
    const { summary } = await cluster.finish({ command, separateStreams: true, resources: SMALL });
    expect(await wholeLogOf(client, summary.jobId, 'STDOUT')).toBe('one\nthree\n');
    expect(await wholeLogOf(client, summary.jobId, 'STDERR')).toBe('two\n');
  });

  it('as a flood gives way in the middle, says how much is missing, and holds up no other job’s log', async () => {
    const bytes = 512 * MEBIBYTE;
    const { jobId } = await client.submitJob({
      command: shell(`echo first; head -c ${bytes} /dev/zero | tr '\\0' x; echo; echo last`),
      resources: { ...SMALL, vcpus: 1 },
    });
    await client.waitForStart(jobId);
    const other = await cluster.finish({ command: shell('echo beside the flood'), resources: SMALL });
    expect(await wholeLogOf(client, other.summary.jobId, 'OUTPUT', 10_000)).toBe('beside the flood\n');
    expect((await client.waitForJob(jobId, { timeoutMs: 30_000 })).summary.state).toBe('SUCCEEDED');
    let length = 0;
    let kept = 0;
    const gaps: string[] = [];
    let inGap = false;
    let last = '';
    let first: string | undefined;
    for await (const chunk of client.followLog(jobId, { signal: AbortSignal.timeout(30_000) })) {
      expect(chunk.offset).toBe(length);
      length += chunk.data.byteLength + chunk.gapLength;
      kept += chunk.data.byteLength;
      // Neighbours are one gap to whoever reads.
      if (chunk.gapLength > 0 && !inGap) gaps.push(chunk.gapReason);
      inGap = chunk.gapLength > 0;
      first ??= Buffer.from(chunk.data.subarray(0, 6)).toString();
      last = Buffer.from(chunk.data.subarray(-6)).toString();
    }
    expect({ length, first, last }).toEqual({ length: bytes + 12, first: 'first\n', last: '\nlast\n' });
    expect(gaps[0]).toMatch(/more than its log keeps/);
    expect(kept).toBeLessThan(bytes / 4);
    const { stderr } = await cluster.galley(['logs', jobId]);
    const told = stderr.trimEnd().split('\n');
    for (const line of told) expect(line).toMatch(/^galley: [\d.]+ MiB are missing here: the job wrote more than/);
    expect(told).toHaveLength(gaps.length);
  });
});
