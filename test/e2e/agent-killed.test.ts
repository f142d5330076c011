import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { GalleyClient, JobRequest } from '@galley/sdk';
import type { Job } from '@galley/sdk/types.ts';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { logSoFar, TestCluster, wholeLogOf } from '../harness/cluster.ts';
import { groupDirectories, processesIn } from '../harness/leftovers.ts';
import { textOf } from '../harness/place.ts';
import { supervisorOf } from '../harness/supervisor.ts';
import { eventually } from '../harness/wait.ts';

// Processes start and are killed here, and the machine may be busy.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 60_000 });

const JOBS = 20;
const SMALL = { vcpus: 0.05, memoryBytes: 16 * 1024 * 1024, pids: 16 };
const LAST_LINE = 400;

/** Counts until it is let go, writes what it counted, notes that it ran, and exits with a code of its own. */
function countingJob(shared: string, index: number): JobRequest {
  const script =
    'echo "run $GALLEY_ATTEMPT" >>"$1/ran-$2"; i=0; ' +
    `while [ $i -lt ${LAST_LINE} ]; do echo "line $i"; i=$((i+1)); [ $((i % 20)) -eq 0 ] && sleep 0.1; done; ` +
    'until [ -e "$1/go" ]; do sleep 0.1; done; echo end; exit "$2"';
  return { jobName: 'count', command: ['sh', '-c', script, 'sh', shared, `${index}`], resources: SMALL };
}

const COUNTED = `${Array.from({ length: LAST_LINE }, (_, line) => `line ${line}\n`).join('')}end\n`;

let cluster: TestCluster;
let client: GalleyClient;

beforeEach(async () => {
  cluster = await TestCluster.start();
  client = cluster.client();
});
afterEach(() => cluster.close());

async function submitCounting(): Promise<string[]> {
  const jobs = Array.from({ length: JOBS }, (_, index) => countingJob(cluster.place.shared, index));
  const results = await client.submitJobs(jobs);
  const ids = results.map((result) => (result.ok ? result.job.jobId : ''));
  expect(ids.every((id) => id !== '')).toBe(true);
  await eventually('all of them run', async () => (await client.getClusterStatus()).liveJobs?.running === JOBS);
  return ids;
}

/** Each ran once, with its own exit code and every line. */
async function expectAllToldTruly(ids: readonly string[]): Promise<void> {
  for (const [index, jobId] of ids.entries()) {
    const job = await client.waitForJob(jobId, { timeoutMs: 30_000 });
    expect(job.summary).toMatchObject({ state: index === 0 ? 'SUCCEEDED' : 'FAILED', exitCode: index, attempts: 1 });
    expect(job.summary.cause).toBe('EXITED');
    expect(textOf(join(cluster.place.shared, `ran-${index}`))).toBe('run 1\n');
    expect(await wholeLogOf(client, jobId)).toBe(COUNTED);
  }
}

describe(`an agent killed with -9 while ${JOBS} jobs run`, () => {
  it('and then again: a later one has every exit code and every byte', async () => {
    const ids = await submitCounting();
    for (let round = 0; round < 2; round++) {
      await cluster.agent().end('SIGKILL');
      await cluster.startAgent();
    }
    expect((await client.getClusterStatus()).liveJobs?.running).toBe(JOBS);
    writeFileSync(join(cluster.place.shared, 'go'), '');
    await expectAllToldTruly(ids);
  });

  it('while they end: what they left is found', async () => {
    const ids = await submitCounting();
    await cluster.agent().end('SIGKILL');
    writeFileSync(join(cluster.place.shared, 'go'), '');
    const { incarnation } = await client.getNode('node-1');
    const groups = groupDirectories(incarnation);
    await eventually('no job runs any more', () => processesIn(groups).length === 0);
    await cluster.startAgent();
    await expectAllToldTruly(ids);
  });

  it('together with the control plane', async () => {
    const ids = await submitCounting();
    await Promise.all([cluster.server.end('SIGKILL'), cluster.agent().end('SIGKILL')]);
    writeFileSync(join(cluster.place.shared, 'go'), '');
    await cluster.startServer();
    await cluster.startAgent();
    await expectAllToldTruly(ids);
  });
});

describe('a follower of a log', () => {
  it('sees every byte once, whoever is killed meanwhile', async () => {
    const { jobId } = await client.submitJob(countingJob(cluster.place.shared, 0));
    const seen: Buffer[] = [];
    const following = (async () => {
      for await (const chunk of client.followLog(jobId)) {
        expect(chunk.offset).toBe(seen.reduce((sum, piece) => sum + piece.length, 0));
        seen.push(Buffer.from(chunk.data));
      }
    })();
    const text = () => Buffer.concat(seen).toString();
    await eventually('the first lines', () => text().includes('line 10\n'));
    await cluster.agent().end('SIGKILL');
    await cluster.startAgent();
    await cluster.server.end('SIGKILL');
    await cluster.startServer();
    await eventually('the last line', () => text().includes(`line ${LAST_LINE - 1}\n`));
    writeFileSync(join(cluster.place.shared, 'go'), '');
    await following;
    expect(text()).toBe(COUNTED);
  });
});

describe('a supervisor killed with -9', () => {
  async function runAndKillSupervisor(withAgent: boolean): Promise<Job> {
    const { jobId } = await client.submitJob({
      command: ['sh', '-c', 'sleep 1000 & echo before; exec sleep 1000'],
      resources: SMALL,
    });
    await eventually('its output', async () => (await logSoFar(client, jobId)) === 'before\n');
    const supervisor = supervisorOf(cluster.agentDirectory(), jobId);
    if (withAgent) await cluster.agent().end('SIGKILL');
    process.kill(supervisor, 'SIGKILL');
    if (withAgent) await cluster.startAgent();
    return await client.waitForJob(jobId, { timeoutMs: 30_000 });
  }

  it.each([
    ['under a running agent', false],
    ['together with its agent', true],
  ])('%s: the loss is told, no code is invented, and nothing of the job runs on', async (_, withAgent) => {
    const job = await runAndKillSupervisor(withAgent);
    expect(job.summary).toMatchObject({ state: 'FAILED', cause: 'SUPERVISOR_LOST' });
    expect(job.summary.exitCode).toBeUndefined();
    expect(job.summary.signal).toBeUndefined();
    expect(job.summary.reason).toContain('exit code is unknown');
    expect(await wholeLogOf(client, job.summary.jobId)).toBe('before\n');
    const { incarnation } = await client.getNode('node-1');
    expect(processesIn(groupDirectories(incarnation))).toEqual([]);
    const { code } = await cluster.galley(['wait', job.summary.jobId]);
    expect(code).toBe(125);
  });
});
