import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { GalleyError, isTerminal } from '@galley/sdk';
import { countIn } from '@galley/sdk/state-counts.ts';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { TestCluster } from '../harness/cluster.ts';

// Files that people write, and the stream of what comes of them, on a real control plane and agent.

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.start();
}, 60_000);
afterAll(() => cluster.close());

function file(name: string, text: string): string {
  const path = join(cluster.place.base, name);
  writeFileSync(path, text);
  return path;
}

const JOBS = `
defaults: {cpus: 0.1, memory: 64m}
jobs:
  - {name: bread, command: ['true'], depends_on: [dough]}
  - {name: dough, command: sleep 0.1 && true}
`;

it('submits a file once however often it is run, in the order of its dependencies, and streams what happens', async () => {
  const { position } = await cluster.client().getClusterStatus();
  const path = file('jobs.yaml', JOBS);
  const words = ['submit', '-f', path, '--request-id', 'night', '--json'];
  const first = await cluster.galley(words);
  expect(first.stderr).toBe('');
  const jobs = JSON.parse(first.stdout) as { jobId: string; jobName: string; existed: boolean }[];
  expect(jobs.map(({ jobName }) => jobName)).toEqual(['dough', 'bread']);
  const again = JSON.parse((await cluster.galley(words)).stdout) as typeof jobs;
  expect(again.map(({ jobId, existed }) => [jobId, existed])).toEqual(jobs.map(({ jobId }) => [jobId, true]));

  const life: string[] = [];
  const signal = AbortSignal.timeout(30_000);
  if (position === undefined) throw new Error('the control plane does not say its position');
  for await (const { job } of cluster.client().events({ after: position, queue: 'default', signal })) {
    if (job !== undefined) life.push(`${job.job.jobName} ${job.job.state}`);
    if (job?.job.jobName === 'bread' && isTerminal(job.job.state)) break;
  }
  expect(life.filter((each) => each.startsWith('dough'))).toEqual(
    ['RUNNABLE', 'STARTING', 'RUNNING', 'SUCCEEDED']
      .map((state) => `dough ${state}`)
      .filter((each) => life.includes(each)),
  );
  expect(life.indexOf('dough SUCCEEDED')).toBeLessThan(life.indexOf('bread RUNNABLE'));
  expect(life[0]).toBe('dough RUNNABLE');
  expect((await cluster.galley(['top'])).stdout).toMatch(/1 of 1 node ready\n.*2 ended\n/);
}, 60_000);

it('submits nothing of a file that the control plane refuses, and says where', async () => {
  const before = await cluster.client().getClusterStatus();
  const path = file('refused.yaml', 'jobs:\n  - {name: a, command: [x]}\n  - {name: b, command: [x], queue: none}\n');
  const { code, stderr } = await cluster.galley(['submit', '-f', path]);
  expect(code).toBe(125);
  expect(stderr).toMatch(/refused\.yaml:3:36: jobs\[1\]\.queue: job queue "none" does not exist/);
  const after = await cluster.client().getClusterStatus();
  expect(after.endedJobs + countIn(after.liveJobs)).toBe(before.endedJobs + countIn(before.liveJobs));
}, 60_000);

it('makes a cluster as its file says, and what it exports applies to no change', async () => {
  const wanted = `
environments: {default: {strategy: spread}, gpu: }
definitions:
  default:
  bake: {command: [bake], memory: 1g, cpus: 0.25, timeout: 90, retries: 2, env: {A: 1}}
queues: {default: {priority: 1}, night: {priority: 5, environments: [gpu, default]}}
`;
  const path = file('cluster.yaml', wanted);
  const planned = await cluster.galley(['apply', '-f', path, '--dry-run']);
  expect(planned.stderr).toBe('4 changes would be made; nothing was\n');
  expect(planned.stdout.split('\n').filter((line) => line !== '')).toHaveLength(4);
  expect((await cluster.client().listJobQueues().next()).value).toMatchObject({ name: 'default' });
  expect((await cluster.galley(['apply', '-f', path])).stdout).toBe(planned.stdout);
  expect((await cluster.galley(['apply', '-f', path, '--prune'])).stderr).toBe('nothing to change\n');

  const exported = file('exported.yaml', (await cluster.galley(['export'])).stdout);
  expect((await cluster.galley(['apply', '-f', exported, '--prune', '--dry-run'])).stderr).toBe('nothing to change\n');

  const less = file('less.yaml', 'environments: {default: {strategy: spread}}\nqueues: {default: {priority: 1}}\n');
  const refused = await cluster.galley(['apply', '-f', less, '--prune']);
  expect(refused.code).toBe(125);
  expect(refused.stderr).toContain('--yes');
  expect((await cluster.galley(['apply', '-f', less, '--prune', '--yes'])).code).toBe(0);
  await expect(cluster.client().getJobQueue('night')).rejects.toBeInstanceOf(GalleyError);
  await expect(cluster.client().getComputeEnvironment('gpu')).rejects.toBeInstanceOf(GalleyError);
}, 60_000);

it('changes nothing when the middle of a file is refused', async () => {
  const before = (await cluster.galley(['export'])).stdout;
  const path = file('bad.yaml', 'environments: {fresh: }\ndefinitions: {bad: {command: [x], env: {GALLEY_NODE: x}}}\n');
  const { code, stderr } = await cluster.galley(['apply', '-f', path]);
  expect(code).toBe(125);
  expect(stderr).toMatch(/create definition bad failed: .*\n.*nothing has changed/);
  expect((await cluster.galley(['export'])).stdout).toBe(before);
}, 60_000);
