import { readdir, readFile } from 'node:fs/promises';
import { create } from '@bufbuild/protobuf';
import {
  AttemptPhase,
  ContainerOptionsSchema,
  EndCause,
  OnNodeLost,
  type Placement,
  RuntimeKind,
  StopSchema,
} from '@galley/proto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { attemptKey } from '../journal/attempt-key.ts';
import { Harness } from './testing/harness.ts';
import { keyOf, placementOf, shellPlacement } from './testing/placements.ts';

let harness: Harness;

beforeEach(async () => {
  harness = await Harness.create();
});

afterEach(async () => {
  await harness.close();
});

function stopOf(placement: Placement, parts: { reason?: string; graceSeconds?: number } = {}) {
  const { id } = placement;
  if (id === undefined) throw new Error('a placement has an id');
  return create(StopSchema, { id, reason: 'asked for', ...parts });
}

/** Lines that jobs appended to a file of the test. */
async function linesOf(path: string): Promise<string[]> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.split('\n').filter((line) => line !== '');
}

describe('placements', () => {
  test('one that is sent again, in one message or several, runs once', async () => {
    const { plane } = harness;
    await harness.connect();
    const job = shellPlacement('echo $AWS_BATCH_JOB_ID; sleep 0.2');
    plane.place(job, job);
    plane.place(job);
    await plane.untilPhase(keyOf(job), AttemptPhase.RUNNING);
    plane.place(job);
    const report = await plane.untilPhase(keyOf(job), AttemptPhase.ENDED);
    expect(report.logLengths).toEqual([37n]);
    // After it was acked and forgotten: the end is told again.
    const told = plane.reports.length;
    plane.place(job);
    await plane.until('the end is told again', () => plane.reports.length > told);
    expect(plane.reports.at(-1)).toMatchObject({ phase: AttemptPhase.ENDED, exitCode: 0, logLengths: [37n] });
  });

  test('one below the watermark that nobody remembers is not run, and its fate said to be unknown', async () => {
    const { plane } = harness;
    await harness.connect();
    const job = placementOf(['true']);
    plane.place(job);
    await plane.untilPhase(keyOf(job), AttemptPhase.ENDED);
    const stale = shellPlacement('true', { placement: { sequence: job.sequence } });
    plane.place(stale);
    const report = await plane.untilPhase(keyOf(stale), AttemptPhase.ENDED);
    expect(report.cause).toBe(EndCause.NODE_LOST);
    expect(report.exitCode).toBeUndefined();
  });

  test('what the agent cannot do is rejected with its reason, and moves the watermark', async () => {
    const { plane } = harness;
    const agent = await harness.connect();
    const image = placementOf(['true'], { task: { container: create(ContainerOptionsSchema, { image: 'i' }) } });
    const nothing = placementOf([], { task: { runtime: RuntimeKind.CONTAINER } });
    const feature = placementOf(['true'], { placement: { requiredFeatures: ['process', 'teleport'] } });
    const big = placementOf(['true'], { task: { resources: undefined } });
    if (big.task !== undefined) big.task.resources = huge();
    plane.place(image, nothing, feature, big);
    const reports = await Promise.all(
      [image, nothing, feature, big].map((p) => plane.untilPhase(keyOf(p), AttemptPhase.REJECTED)),
    );
    expect(reports.map(({ reason }) => reason)).toEqual([
      expect.stringContaining('no container can be started: there is no container engine at '),
      'task.container.image: required',
      'this agent lacks teleport',
      expect.stringContaining('no room: 1000000 milli-vCPU asked'),
    ]);
    for (const report of reports) expect(report.retryAfterMs).toBeGreaterThan(0);
    await agent.close();
    await harness.connect();
    expect(plane.hellos.at(-1)?.placementWatermark).toBe(big.sequence);
  });

  test('room is held from the intent to the release', async () => {
    const { plane } = harness;
    await harness.connect();
    const milliVcpu = plane.hellos[0]?.inventory?.allocatable?.milliVcpu ?? 0n;
    const whole = shellPlacement('read line', { task: {} });
    const second = placementOf(['true']);
    if (whole.task?.resources !== undefined) whole.task.resources.milliVcpu = milliVcpu;
    whole.task?.command.splice(0, 3, 'sleep', '60');
    plane.place(whole);
    await plane.untilPhase(keyOf(whole), AttemptPhase.RUNNING);
    plane.place(second);
    expect((await plane.untilPhase(keyOf(second), AttemptPhase.REJECTED)).reason).toContain('0 free');
    plane.stopAttempts(stopOf(whole, { graceSeconds: 0 }));
    await plane.untilPhase(keyOf(whole), AttemptPhase.ENDED);
    // A rejection uses up no attempt: the same one comes again, with a placement of its own.
    second.sequence = 0n;
    plane.place(second);
    expect((await plane.untilPhase(keyOf(second), AttemptPhase.ENDED)).exitCode).toBe(0);
  });

  test('without limits and without leave to run all the same, every job is rejected', async () => {
    const { plane } = harness;
    await harness.connect({ allowUnlimited: false });
    const limits = plane.hellos[0]?.inventory?.limits ?? [];
    const enforced = limits.every(({ resource, detail }) => resource === 'swap' || detail === 'enforced');
    const job = placementOf(['true']);
    plane.place(job);
    const report = await plane.untilPhase(keyOf(job), enforced ? AttemptPhase.ENDED : AttemptPhase.REJECTED);
    expect(report.reason).toContain(enforced ? 'exited' : '--allow-unlimited');
  });
});

describe('stops', () => {
  test('a running job ends with the reason', async () => {
    const { plane } = harness;
    await harness.connect();
    const job = placementOf(['sleep', '60']);
    plane.place(job);
    await plane.untilPhase(keyOf(job), AttemptPhase.RUNNING);
    plane.stopAttempts(stopOf(job), stopOf(job));
    const report = await plane.untilPhase(keyOf(job), AttemptPhase.ENDED);
    expect(report).toMatchObject({ cause: EndCause.STOPPED, reason: 'asked for', signal: 15 });
  });

  test('one right behind the placement keeps the job from ever starting, or ends it', async () => {
    const { plane } = harness;
    await harness.connect();
    const jobs = Array.from({ length: 20 }, () => shellPlacement('sleep 60'));
    plane.place(...jobs);
    plane.stopAttempts(...jobs.map((job) => stopOf(job, { graceSeconds: 0 })));
    const reports = await Promise.all(jobs.map((job) => plane.untilPhase(keyOf(job), AttemptPhase.ENDED)));
    for (const report of reports) expect(report).toMatchObject({ cause: EndCause.STOPPED, reason: 'asked for' });
  });

  test('one for an attempt that never came: rejected, and it is not run when it comes late', async () => {
    const { plane } = harness;
    await harness.connect();
    const job = shellPlacement('true');
    plane.stopAttempts(stopOf(job));
    await plane.untilPhase(keyOf(job), AttemptPhase.REJECTED);
    plane.place(job);
    await plane.until(
      'it was answered',
      () => plane.reports.filter((r) => r.id && attemptKey(r.id) === keyOf(job)).length > 1,
    );
    for (const report of plane.reports) expect(report.phase).toBe(AttemptPhase.REJECTED);
  });
});

describe('connections', () => {
  test('a job outlives them, and its end is reported on the next', async () => {
    const { plane } = harness;
    await harness.connect();
    const gate = harness.path('gate');
    const job = shellPlacement(`until [ -e ${gate} ]; do sleep 0.05; done; exit 9`);
    plane.place(job);
    await plane.untilPhase(keyOf(job), AttemptPhase.RUNNING);
    plane.drop();
    await plane.until('the agent is back', () => plane.hellos.length === 2);
    expect(plane.hellos[1]?.attempts).toMatchObject([{ phase: AttemptPhase.RUNNING }]);
    expect(plane.hellos[1]?.clusterId).toBe('cluster-1');
    plane.stopAttempts(stopOf(job, { graceSeconds: 0 }));
    expect((await plane.untilPhase(keyOf(job), AttemptPhase.ENDED)).signal).toBe(9);
  });

  test('the control plane is away for a while', async () => {
    const { plane } = harness;
    await harness.connect();
    const job = shellPlacement('sleep 0.3; echo done');
    plane.place(job);
    await plane.untilPhase(keyOf(job), AttemptPhase.RUNNING);
    plane.stop();
    await new Promise((resolve) => setTimeout(resolve, 500));
    await plane.listen();
    expect((await plane.untilPhase(keyOf(job), AttemptPhase.ENDED)).exitCode).toBe(0);
    await plane.until('the log arrived', () => plane.log(keyOf(job)).length === 5);
  });

  test('one that has gone silent is given up and made anew', async () => {
    const { plane } = harness;
    await harness.connect({ times: { helloMs: 2_000, silentMs: 600 } });
    plane.script.heartbeatAcks = false;
    await plane.until('the agent has come again', () => plane.hellos.length >= 2);
  });

  test('an end whose ack is lost is reported until it is acked, also by the next agent', async () => {
    const { plane } = harness;
    plane.script.acks = false;
    const first = await harness.connect();
    const job = shellPlacement('exit 5');
    plane.place(job);
    await plane.untilPhase(keyOf(job), AttemptPhase.ENDED);
    plane.drop();
    await plane.until('the agent is back', () => plane.hellos.length === 2);
    expect(plane.hellos[1]?.attempts).toMatchObject([{ phase: AttemptPhase.ENDED, exitCode: 5 }]);
    await first.close();
    plane.script.acks = true;
    await harness.connect();
    expect(plane.hellos[2]?.attempts).toMatchObject([{ phase: AttemptPhase.ENDED, exitCode: 5, logLengths: [0n] }]);
    const told = plane.reports.length;
    await plane.until('it was reported and acked', () => plane.reports.length > told);
    const second = plane.hellos.length;
    plane.drop();
    await plane.until('the agent is back', () => plane.hellos.length > second);
    expect(plane.hellos.at(-1)?.attempts).toEqual([]);
  });

  test('a raised epoch is told everything that is remembered', async () => {
    const { plane } = harness;
    await harness.connect();
    const jobs = Array.from({ length: 5 }, (_, index) => shellPlacement(`exit ${index}`));
    plane.place(...jobs);
    await Promise.all(jobs.map((job) => plane.untilPhase(keyOf(job), AttemptPhase.ENDED)));
    plane.script.epoch = 2n;
    plane.script.sendCompleteHistory = (hello) => !hello.completeHistory;
    plane.drop();
    await plane.until('the history was sent', () => plane.hellos.at(-1)?.completeHistory === true);
    const codes = plane.hellos.at(-1)?.attempts.map(({ exitCode }) => exitCode);
    expect(codes?.sort()).toEqual([0, 1, 2, 3, 4]);
    expect(plane.hellos.at(-1)?.witness?.epoch).toBe(1n);
  });
});

describe('the lease', () => {
  test('when it runs out, fenced jobs are stopped and others go on', async () => {
    const { plane } = harness;
    plane.script.leaseMs = 1_200;
    await harness.connect();
    const out = harness.path('waits');
    const fenced = shellPlacement('sleep 60', {
      placement: { onNodeLost: OnNodeLost.FENCED },
      task: { stopGraceSeconds: 1 },
    });
    const waits = shellPlacement('sleep 60', { placement: { onNodeLost: OnNodeLost.WAIT } });
    plane.place(fenced, waits);
    await plane.untilPhase(keyOf(fenced), AttemptPhase.RUNNING);
    await plane.untilPhase(keyOf(waits), AttemptPhase.RUNNING);
    plane.script.heartbeatAcks = false;
    const report = await plane.untilPhase(keyOf(fenced), AttemptPhase.ENDED);
    expect(report.cause).toBe(EndCause.NODE_LOST);
    expect(report.reason).toContain('Lease expired');
    expect(plane.latest(keyOf(waits))?.phase).toBe(AttemptPhase.RUNNING);
    plane.stopAttempts(stopOf(waits, { graceSeconds: 0 }));
    await plane.untilPhase(keyOf(waits), AttemptPhase.ENDED);
    expect(await linesOf(out)).toEqual([]);
  });
});

test('a directory of an attempt is kept until its log is shipped, then for a while', async () => {
  const { plane } = harness;
  plane.script.logs = 'silent';
  await harness.connect();
  const job = shellPlacement('echo kept');
  plane.place(job);
  await plane.untilPhase(keyOf(job), AttemptPhase.ENDED);
  expect(await readdir(`${harness.options.dataDir}/attempts`)).toEqual([keyOf(job)]);
});

function huge() {
  const job = placementOf(['true']);
  const resources = job.task?.resources;
  if (resources === undefined) throw new Error('a test job has resources');
  resources.milliVcpu = 1_000_000n;
  return resources;
}
