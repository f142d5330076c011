import { create } from '@bufbuild/protobuf';
import { AttemptPhase, ContainerOptionsSchema, EndCause, VolumeSchema } from '@galley/proto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { TEST_IMAGE } from '../runtimes/testing/containers.ts';
import { noEngine, TestEngine } from '../runtimes/testing/engine.ts';
import { Harness, kill } from './testing/harness.ts';
import { keyOf, shellPlacement } from './testing/placements.ts';

describe.skipIf(noEngine() !== undefined)('an agent on a host with a container engine', () => {
  let engine: TestEngine;
  let harness: Harness;
  beforeAll(async () => {
    engine = await TestEngine.start();
  }, 90_000);
  afterAll(() => engine?.close(), 60_000);
  beforeEach(async () => {
    harness = await Harness.create({}, engine.socket);
  });
  afterEach(() => harness.close(), 60_000);

  const inContainer = (script: string) =>
    shellPlacement(script, {
      task: {
        container: create(ContainerOptionsSchema, {
          image: TEST_IMAGE,
          pullPolicy: 'never',
          networkMode: 'none',
          mountPoints: [{ sourceVolume: 'scratch', containerPath: '/scratch' }],
        }),
        volumes: [create(VolumeSchema, { name: 'scratch' })],
      },
      placement: { requiredFeatures: ['container'] },
    });

  test('offers containers, runs one with the environment of AWS, and reports its image and its log', async () => {
    const { plane } = harness;
    await harness.connect();
    expect(plane.hellos[0]?.features).toContain('container');
    expect(plane.hellos[0]?.inventory?.features).toContain('container');
    const job = inContainer(
      'echo $AWS_BATCH_JOB_ATTEMPT $AWS_BATCH_JQ_NAME $AWS_BATCH_CE_NAME $AWS_EXECUTION_ENV $GALLEY_CPUS > /scratch/x; cat /scratch/x; exit 7',
    );
    plane.place(job);
    const report = await plane.untilPhase(keyOf(job), AttemptPhase.ENDED);
    expect(report).toMatchObject({ cause: EndCause.EXITED, exitCode: 7, reason: 'Essential container in task exited' });
    expect(report.imageDigest).toMatch(/^sha256:/);
    const line = '1 default default AWS_ECS_EC2 0.01\n';
    await plane.until('its log arrived', () => plane.log(keyOf(job)).bytes.toString() === line);
  });

  test('kill -9 of the agent: containers and processes go on, and every end and byte arrives', async () => {
    const { plane } = harness;
    const first = await harness.spawn();
    const script = 'i=0; while [ $i -lt 30 ]; do i=$((i+1)); echo $i; sleep 0.1; done; exit 3';
    const jobs = [inContainer(script), shellPlacement(script), inContainer(script)];
    plane.place(...jobs);
    for (const job of jobs) await plane.untilPhase(keyOf(job), AttemptPhase.RUNNING);
    await kill(first);
    await harness.spawn();
    const whole = Array.from({ length: 30 }, (_, index) => `${index + 1}\n`).join('');
    for (const job of jobs) {
      const report = await plane.untilPhase(keyOf(job), AttemptPhase.ENDED);
      expect(report).toMatchObject({ cause: EndCause.EXITED, exitCode: 3, logLengths: [BigInt(whole.length)] });
      await plane.until('its log arrived', () => plane.log(keyOf(job)).bytes.toString() === whole);
    }
  });
});
