import { randomUUID } from 'node:crypto';
import { type GalleyClient, GalleyError, type JobRequest } from '@galley/sdk';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { TestCluster } from '../harness/cluster.ts';

// Processes start and are killed here, and the machine may be busy.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 60_000 });

const MEBIBYTE = 1024 * 1024;

let cluster: TestCluster;
let client: GalleyClient;

beforeAll(async () => {
  cluster = await TestCluster.start();
  client = cluster.client();
});
afterAll(() => cluster.close());

/** The refusal of a submit; fails when it is accepted. */
async function refusalOf(request: JobRequest): Promise<GalleyError> {
  try {
    await client.submitJob(request);
  } catch (error) {
    if (error instanceof GalleyError) return error;
    throw error;
  }
  throw new Error(`accepted: ${JSON.stringify(request).slice(0, 200)}`);
}

const TRUE = ['true'];

describe('a submit that cannot be meant', () => {
  it.each<[string, JobRequest, RegExp]>([
    ['0 vCPUs', { command: TRUE, resources: { vcpus: 0 } }, /milli_vcpu.*got 0/],
    ['negative vCPUs', { command: TRUE, resources: { vcpus: -1 } }, /milli_vcpu.*-1000/],
    ['no memory', { command: TRUE, resources: { memoryBytes: 0 } }, /memory_bytes.*got 0/],
    ['negative memory', { command: TRUE, resources: { memoryBytes: -MEBIBYTE } }, /memory_bytes.*-1048576/],
    ['no processes', { command: TRUE, resources: { pids: 0 } }, /pids.*0/],
    ['a negative count', { command: TRUE, resources: { named: { gpu: -1 } } }, /named.*-1/],
    ['no command', { command: [] }, /command.*(none|at least|got)/],
    ['0 tries', { command: TRUE, attempts: 0 }, /attempts.*0/],
    ['11 tries', { command: TRUE, attempts: 11 }, /attempts.*11/],
    ['a time-out of nothing', { command: TRUE, timeoutSeconds: 0 }, /attempt_duration_seconds.*0/],
    ['a negative grace', { command: TRUE, stopGraceSeconds: -1 }, /stop_grace_seconds.*-1/],
    ['a name with blanks', { command: TRUE, jobName: 'a b' }, /job_name.*a b/],
    ['an id that is none', { command: TRUE, jobId: '42' }, /job_id.*42/],
    ['a user with a slash', { command: TRUE, user: '../root' }, /run_as\.user.*\.\.\/root/],
    ['a directory that is relative', { command: TRUE, workingDirectory: 'here' }, /working_directory.*here/],
    ['a variable without a name', { command: TRUE, environment: { '': 'x' } }, /environment/],
    ['a reserved variable', { command: TRUE, environment: { GALLEY_NODE: 'x' } }, /environment.*GALLEY_NODE/],
    ['a NUL in the command', { command: ['echo', 'a\0b'] }, /command.*NUL/],
    ['a dependency that is no id', { command: TRUE, dependsOn: ['7'] }, /depends_on.*7/],
  ])('%s is refused with field, constraint and value', async (_, request, sentence) => {
    const error = await refusalOf(request);
    expect(error.code).toBe('INVALID_ARGUMENT');
    const said = error.violations.map(({ field, description }) => `${field}: ${description}`);
    expect(said.join('\n')).toMatch(sentence);
  });

  it('an unknown queue or definition is named', async () => {
    const queue = await refusalOf({ command: TRUE, jobQueue: 'nowhere' });
    expect(queue.message).toMatch(/queue.*nowhere/);
    expect(queue.code).toMatch(/^(NOT_FOUND|INVALID_ARGUMENT)$/);
    const definition = await refusalOf({ command: TRUE, jobDefinition: 'nothing:3' });
    expect(definition.message).toMatch(/definition.*nothing:3/);
    expect(definition.code).toMatch(/^(NOT_FOUND|INVALID_ARGUMENT)$/);
    const unknownJob = await refusalOf({ command: TRUE, dependsOn: [randomUUID()] });
    expect(unknownJob.code).toMatch(/^(NOT_FOUND|INVALID_ARGUMENT|FAILED_PRECONDITION)$/);
  });

  it('a command of 10 MiB is refused with the limit, by the command line too, and the next call is served', async () => {
    const error = await refusalOf({ command: ['echo', 'x'.repeat(10 * MEBIBYTE)] });
    expect(['INVALID_ARGUMENT', 'RESOURCE_EXHAUSTED']).toContain(error.code);
    expect(error.message).toMatch(/\d{6,}/);
    // As much as the kernel lets one process be given, in many arguments.
    const words = Array.from({ length: 15 }, () => 'y'.repeat(100_000));
    const { code, stderr } = await cluster.galley(['submit', '--', 'echo', ...words]);
    expect(code).toBe(125);
    expect(stderr).toMatch(/at most 262144 bytes/);
    expect((await cluster.finish({ command: TRUE })).summary.state).toBe('SUCCEEDED');
  });

  it('the same id with another request is refused, and with the same one gets the first answer', async () => {
    const request = { jobId: randomUUID(), command: TRUE };
    const first = await client.submitJob(request);
    expect(await client.submitJob(request)).toMatchObject({ number: first.number, existed: true });
    expect((await refusalOf({ ...request, command: ['false'] })).code).toBe('ALREADY_EXISTS');
  });

  it('one bad item of a batch is told about that item', async () => {
    const results = await client.submitJobs([
      { command: TRUE },
      { command: TRUE, jobQueue: 'nowhere' },
      { command: TRUE },
    ]);
    expect(results.map(({ ok }) => ok)).toEqual([true, false, true]);
    const atomic = client.submitJobs(
      [
        { command: TRUE, jobName: 'all' },
        { command: TRUE, jobQueue: 'nowhere' },
      ],
      {
        mode: 'atomic',
      },
    );
    await expect(atomic).rejects.toThrow(/nowhere/);
    for await (const job of client.listJobs({ jobName: 'all' })) expect.fail(`job ${job.number} was accepted`);
  });

  it('the command line says the same, in one place, and exits 125', async () => {
    const { code, stderr } = await cluster.galley(['submit', '--queue', 'nowhere', '--', 'true']);
    expect(code).toBe(125);
    expect(stderr).toMatch(/^galley: .*nowhere/);
    expect((await cluster.galley(['submit', '--cpus', '0', '--', 'true'])).code).toBe(125);
    expect((await cluster.galley(['submit', '--memory', 'lots', '--', 'true'])).code).toBe(125);
    expect((await cluster.galley(['logs', 'zz'])).code).toBe(125);
    expect((await cluster.galley(['job', '999999'])).code).toBe(125);
  });
});

describe('a job that no node could ever run', () => {
  it.each<[string, JobRequest, RegExp]>([
    ['too many vCPUs', { command: TRUE, resources: { vcpus: 10_000 } }, /10000 vCPU.*most that a node offers/],
    ['too much memory', { command: TRUE, resources: { memoryBytes: 2 ** 50 } }, /1073741824 MiB/],
    ['a thing that nobody has', { command: TRUE, resources: { named: { unicorn: 1 } } }, /1 unicorn/],
  ])('%s: it is accepted, and says why it waits', async (_, request, why) => {
    const { jobId, number } = await client.submitJob(request);
    const { stdout } = await cluster.galley(['job', String(number)]);
    expect(stdout).toMatch(/RUNNABLE/);
    expect(stdout).toMatch(why);
    expect(stdout).toContain('MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT');
    const [cancelled] = await client.cancelJobs([jobId]);
    expect(cancelled?.outcome).toBe('ENDED');
  });
});
