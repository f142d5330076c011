import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openCgroups } from '../../cgroup/open.ts';
import { bootId } from '../../launcher/boot.ts';
import { ProcessRuntime } from '../process.ts';
import { Runtimes } from '../runtimes.ts';
import { PLAIN_CONTAINER, testedContainers } from '../testing/containers.ts';
import { noEngine, TestEngine } from '../testing/engine.ts';
import { eventually, groupOf, makeBase, type RunningJob, TestHost } from '../testing/host.ts';
import { ContainerRuntime } from './container.ts';

const IN_CONTAINER = { container: PLAIN_CONTAINER };

async function bothRuntimes(socket: string, deadlines: object = {}) {
  const base = makeBase();
  const processes = await ProcessRuntime.open({
    directory: join(base, 'runtime'),
    cgroups: openCgroups(groupOf(base)),
  });
  const containers = await testedContainers(socket, { deadlines }).open(base);
  const isLive = (key: string) => processes.isLive(key) || containers.isLive(key);
  const runtime = Object.assign(new Runtimes(processes, containers), { isLive });
  const host = await TestHost.openTested({ name: 'process', launch: {}, open: async () => runtime }, base);
  await host.runtime.attach([]);
  return { host, containers };
}

describe('a node without a container engine', () => {
  it('runs processes, gives containers back unbegun and says why', async () => {
    const { host } = await bothRuntimes('/nowhere/engine.sock');
    try {
      expect(host.runtime.containerFault()).toBe('there is no container engine at /nowhere/engine.sock');
      const container = await host.run(['true'], IN_CONTAINER).ended;
      expect(container).toMatchObject({ cause: 'not_started' });
      expect(container.reason).toContain('there is no container engine at /nowhere/engine.sock');
      expect(container.retryAfterMs).toBeGreaterThan(1_000);
      expect(await host.finish(['true'])).toMatchObject({ exitCode: 0 });
    } finally {
      await host.close();
    }
  });
});

describe.skipIf(noEngine() !== undefined)('an engine', () => {
  let engine: TestEngine;
  beforeAll(async () => {
    engine = await TestEngine.start('--live-restore');
  }, 90_000);
  afterAll(() => engine?.close(), 60_000);

  const counting = (to: number) => [
    'sh',
    '-c',
    `i=0; while [ $i -lt ${to} ]; do i=$((i+1)); echo $i; sleep 0.1; done; exit 4`,
  ];
  const lines = (job: RunningJob) =>
    job
      .output()
      .split('\n')
      .filter((line) => line !== '');

  it('killed with -9 and started again: the container goes on, no line and no exit code is lost', async () => {
    const { host } = await bothRuntimes(engine.socket);
    try {
      const job = host.run(counting(50), IN_CONTAINER);
      await eventually('it has begun', () => lines(job).length > 3);
      await engine.kill();
      expect(await host.finish(['true'])).toMatchObject({ exitCode: 0 });
      await engine.run();
      expect(await job.ended).toMatchObject({ cause: 'exited', exitCode: 4 });
      expect(lines(job)).toEqual(Array.from({ length: 50 }, (_, index) => `${index + 1}`));
    } finally {
      await host.close();
    }
  }, 60_000);

  it('that hangs holds up no process; a container is stopped as soon as it answers again', async () => {
    const { host, containers } = await bothRuntimes(engine.socket, { killMs: 500, inspectMs: 500 });
    try {
      const job = host.run(['sh', '-c', 'trap "exit 3" TERM; echo up; while :; do sleep 0.05; done'], IN_CONTAINER);
      await eventually('it has begun', () => job.output() === 'up\n');
      engine.hang();
      host.runtime.stop(job.key, { graceSeconds: 30, reason: 'enough' });
      expect(await host.finish(['true'])).toMatchObject({ exitCode: 0 });
      expect(containers.isLive(job.key)).toBe(true);
      engine.go();
      expect(await job.ended).toMatchObject({ cause: 'stopped', reason: 'enough', exitCode: 3 });
    } finally {
      engine.go();
      await host.close();
    }
  }, 60_000);

  it('that does not create or start a container in time: AWS’s words, and it never runs late', async () => {
    const { host } = await bothRuntimes(engine.socket, { createMs: 1, startMs: 120_000 });
    try {
      const outcome = await host.run(['sh', '-c', 'echo ran'], IN_CONTAINER).ended;
      expect(outcome).toMatchObject({
        cause: 'launch_failed',
        reason: 'DockerTimeoutError: Could not transition to created; timed out after waiting 0m0s',
      });
    } finally {
      await host.close();
    }
    const second = await bothRuntimes(engine.socket, { startMs: 1 });
    try {
      const job = second.host.run(['sh', '-c', 'echo ran'], IN_CONTAINER);
      const outcome = await job.ended;
      // The answer came too late to be heard: what the engine did then is what is told.
      if (outcome.cause === 'exited') expect(job.output()).toBe('ran\n');
      else {
        expect(outcome.reason).toBe(
          'DockerTimeoutError: Could not transition to started; timed out after waiting 0m0s',
        );
        expect(job.output()).toBe('');
      }
    } finally {
      await second.host.close();
    }
  }, 60_000);

  it('somebody removed the container from: no exit code is made up', async () => {
    const { host } = await bothRuntimes(engine.socket);
    try {
      const job = host.run(['sleep', '1000'], IN_CONTAINER);
      await job.started;
      const own = (await engine.containers()).filter((name) => name.endsWith(job.key));
      await engine.docker('rm', '--force', ...own);
      const outcome = await job.ended;
      // The engine may still know how it ended while it removes it.
      if (outcome.cause === 'exited') expect(outcome.exitCode).toBe(137);
      else expect({ cause: outcome.cause, exitCode: outcome.exitCode }).toEqual({ cause: 'lost', exitCode: undefined });
    } finally {
      await host.close();
    }
  });

  it('is told when it goes and when it is back', async () => {
    const directory = makeBase();
    const containers = await ContainerRuntime.open({
      directory,
      incarnation: 'told',
      sockets: [engine.socket],
    });
    try {
      expect(containers.engine).toMatchObject({ name: 'up', info: { podman: false } });
      const next = () => new Promise((resolve) => containers.once('engine', resolve));
      const gone = next();
      await engine.kill();
      expect(await gone).toMatchObject({ name: 'down' });
      const back = next();
      await engine.run();
      expect(await back).toMatchObject({ name: 'up' });
    } finally {
      await containers.close();
      rmSync(directory, { recursive: true });
    }
  }, 60_000);
});

it('an attempt whose agent died before it had a directory was never begun', async () => {
  const base = makeBase();
  const containers = await testedContainers('/nowhere/engine.sock').open(base);
  try {
    const request = { key: 'k', directory: join(base, 'k'), bootId: bootId(), runtime: 'container' as const };
    expect(await containers.attach([request])).toMatchObject([{ state: 'ended', outcome: { cause: 'not_started' } }]);
  } finally {
    await containers.close();
    rmSync(base, { recursive: true });
  }
});
