import { AttemptPhase, EndCause } from '@galley/proto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Harness } from './session/testing/harness.ts';
import { keyOf, placementOf, shellPlacement } from './session/testing/placements.ts';

let harness: Harness;

beforeEach(async () => {
  harness = await Harness.create();
});

afterEach(async () => {
  await harness.close();
});

test('a job runs, its end and its log arrive', async () => {
  const { plane } = harness;
  await harness.connect();
  const job = shellPlacement('echo hello; exit 3');
  const plain = placementOf(['true']);
  plane.place(job, plain);
  const report = await plane.untilPhase(keyOf(job), AttemptPhase.ENDED);
  expect(report.cause).toBe(EndCause.EXITED);
  expect(report.exitCode).toBe(3);
  expect(report.reason).toBe('Essential container in task exited');
  expect(report.logLengths).toEqual([6n]);
  expect(report.resourcesReleased).toBe(true);
  expect((await plane.untilPhase(keyOf(plain), AttemptPhase.ENDED)).exitCode).toBe(0);
  await plane.until('the log arrived', () => plane.log(keyOf(job)).length === 6);
  expect(plane.log(keyOf(job)).bytes.toString()).toBe('hello\n');
});

test('the hello says what the host is and has', async () => {
  const { plane } = harness;
  await harness.connect({ labels: { rack: 'r1' }, namedResources: { licence: 2 } });
  const [hello] = plane.hellos;
  expect(hello).toMatchObject({ nodeName: 'node-1', computeEnvironment: 'default', clusterId: '', protocolMin: 1 });
  expect(hello?.inventory?.labels).toEqual({ rack: 'r1' });
  expect(hello?.inventory?.allocatable?.named).toMatchObject([{ name: 'licence', count: 2n }]);
  expect(hello?.inventory?.limits.map(({ resource }) => resource).sort()).toEqual(['cpu', 'memory', 'pids', 'swap']);
  expect(Number(hello?.inventory?.memoryBytes)).toBeGreaterThan(64 * 1024 * 1024);
});

test('a job sees the documented environment and nothing of the agent', async () => {
  const { plane } = harness;
  await harness.connect();
  const job = shellPlacement('env | sort; umask', {
    childIndex: 7,
    attempt: 2,
    task: { environment: { MINE: 'yes', EMPTY: '', AWS_BATCH_JOB_ID: 'forged' } },
    placement: { user: '' },
  });
  plane.place(job);
  await plane.untilPhase(keyOf(job), AttemptPhase.ENDED);
  const length = Number(plane.latest(keyOf(job))?.logLengths[0]);
  await plane.until('the log arrived', () => plane.log(keyOf(job)).length === length);
  const text = plane.log(keyOf(job)).bytes.toString();
  const names = text.split('\n').flatMap((line) => (line.includes('=') ? [line.slice(0, line.indexOf('='))] : []));
  const own = ['HOME', 'LOGNAME', 'PATH', 'PWD', 'SHELL', 'USER', 'GALLEY_PROCESS_KEY', 'OLDPWD'];
  expect(names.filter((name) => !own.includes(name))).toEqual([
    'AWS_BATCH_CE_NAME',
    'AWS_BATCH_JOB_ARRAY_INDEX',
    'AWS_BATCH_JOB_ATTEMPT',
    'AWS_BATCH_JOB_ID',
    'AWS_BATCH_JQ_NAME',
    'AWS_EXECUTION_ENV',
    'GALLEY_ACCOUNT',
    'GALLEY_ARRAY_INDEX',
    'GALLEY_ATTEMPT',
    'GALLEY_COMPUTE_ENVIRONMENT',
    'GALLEY_CPUS',
    'GALLEY_JOB_DEFINITION',
    'GALLEY_JOB_ID',
    'GALLEY_JOB_NAME',
    'GALLEY_JOB_NUMBER',
    'GALLEY_MEMORY_BYTES',
    'GALLEY_NODE',
    'GALLEY_QUEUE',
    'GALLEY_SUBMITTED_BY',
    'MINE',
  ]);
  const uuid = keyOf(job).split('.')[0];
  expect(text).toContain(`AWS_BATCH_JOB_ID=${uuid}:7\n`);
  expect(text).toContain('AWS_BATCH_JOB_ATTEMPT=2\n');
  expect(text).toContain('GALLEY_CPUS=0.01\n');
  expect(text).toMatch(/\n0?022\n$/);
});

describe('refusals for good', () => {
  test('a token that is not known', async () => {
    const agent = await harness.start({ token: 'wrong' });
    await expect(agent.closed).rejects.toMatchObject({ code: 'TOKEN_REFUSED' });
  });

  test('a protocol that both do not speak', async () => {
    harness.plane.script.protocol = 9;
    const agent = await harness.start();
    await expect(agent.closed).rejects.toMatchObject({ code: 'PROTOCOL_MISMATCH' });
  });

  test('another cluster than the one that the state directory belongs to', async () => {
    const first = await harness.connect();
    await harness.plane.until('the agent is live', () => harness.plane.connected);
    const job = placementOf(['true']);
    harness.plane.place(job);
    await harness.plane.untilPhase(keyOf(job), AttemptPhase.ENDED);
    await first.close();
    harness.plane.script.clusterId = 'cluster-2';
    const agent = await harness.start();
    await expect(agent.closed).rejects.toMatchObject({ code: 'OTHER_CLUSTER' });
  });

  test('another name than the one that the state directory has served under', async () => {
    const first = await harness.connect();
    const job = placementOf(['true']);
    harness.plane.place(job);
    await harness.plane.untilPhase(keyOf(job), AttemptPhase.ENDED);
    await first.close();
    await expect(harness.start({ nodeName: 'node-2' })).rejects.toThrow(/is that of node node-1.*got "node-2"/);
  });

  test('an option out of range names field, constraint and value', async () => {
    await expect(harness.start({ nodeName: '-x' })).rejects.toThrow(/nodeName: .*; got "-x"/);
    await expect(harness.start({ address: 'nowhere' })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await expect(harness.start({ reserve: { percent: 99 } })).rejects.toThrow('reserve.percent: 0 to 90, got 99');
  });

  test('a second agent on the same state directory', async () => {
    await harness.connect();
    await expect(harness.start()).rejects.toMatchObject({ code: 'LOCKED' });
  });
});
