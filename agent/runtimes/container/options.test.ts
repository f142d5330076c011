import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ContainerLaunch } from '../runtime.ts';
import { PLAIN_CONTAINER, testedContainers } from '../testing/containers.ts';
import { noEngine, TestEngine } from '../testing/engine.ts';
import { TestHost } from '../testing/host.ts';
import type { ContainerRuntime } from './container.ts';

/** As every Debian has it. */
const NOBODY = { uid: 65_534, gid: 65_534 };

describe.skipIf(noEngine() !== undefined)('what a container asks for', () => {
  let engine: TestEngine;
  let host: TestHost<ContainerRuntime>;
  let shared: string;
  beforeAll(async () => {
    engine = await TestEngine.start();
    host = await TestHost.openTested(testedContainers(engine.socket));
    await host.runtime.attach([]);
    shared = mkdtempSync(join(tmpdir(), 'galley-shared-'));
    chmodSync(shared, 0o755);
  }, 90_000);
  afterAll(async () => {
    await host?.close();
    await engine?.close();
    if (shared !== undefined) rmSync(shared, { recursive: true });
  }, 60_000);

  const finish = (script: string, container: Partial<ContainerLaunch> = {}) =>
    host.finish(['sh', '-c', script], { user: 'nobody', container: { ...PLAIN_CONTAINER, ...container } });
  const hostMount = (path: string, readOnly = false) => [
    { volume: 'shared', hostPath: path, target: '/shared', readOnly },
  ];

  it('is held: no capability, no new privilege, an image by its digest', async () => {
    const outcome = await finish('grep -e CapEff -e CapBnd -e NoNewPrivs /proc/self/status');
    expect(outcome.output).toBe('CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nNoNewPrivs:\t1\n');
    expect(outcome.imageDigest).toMatch(/^sha256:[0-9a-f]{64}$/);
  });

  it('runs as the image says, or as it names itself, where it sees nothing of the host', async () => {
    expect((await finish('id -u')).output).toBe('0\n');
    expect((await finish('id -u; id -g', { user: '7:8' })).output).toBe('7\n8\n');
  });

  it('runs as the job’s user where it mounts a path of the host, and does there what that user may', async () => {
    const mine = join(shared, 'mine');
    mkdirSync(mine);
    chownSync(mine, NOBODY.uid, NOBODY.gid);
    const { output, exitCode } = await finish('id -u; echo made > /shared/file', { mounts: hostMount(mine) });
    expect({ output, exitCode }).toEqual({ output: `${NOBODY.uid}\n`, exitCode: 0 });
    expect(readFileSync(join(mine, 'file'), 'utf8')).toBe('made\n');
    expect((await finish('echo x > /shared/file', { mounts: hostMount(mine, true) })).exitCode).toBe(1);
    const another = await finish('true', { mounts: hostMount(mine), user: 'root' });
    expect(another.reason).toMatch(/^CannotCreateContainerError: .* runs as the job's user nobody .* not as "root"/);
  });

  it('does not get through a directory that the user may not enter', async () => {
    const closed = join(shared, 'closed');
    mkdirSync(join(closed, 'open'), { recursive: true });
    writeFileSync(join(closed, 'open', 'secret'), 'secret');
    chmodSync(closed, 0o700);
    const outcome = await finish('cat /shared/secret', { mounts: hostMount(join(closed, 'open')) });
    expect(outcome.cause).toBe('launch_failed');
    expect(outcome.reason).toMatch(/^CannotCreateContainerError: host path ".*" .* cannot be reached by user nobody/);
    expect((await finish('true', { mounts: hostMount(join(shared, 'missing')) })).reason).toContain('does not exist');
    expect(existsSync(join(shared, 'missing'))).toBe(false);
  });

  it('has scratch directories of its own, which are gone with it', async () => {
    const mounts = ['/a', '/b'].map((target) => ({ volume: 'scratch', target, readOnly: false }));
    const job = host.run(['sh', '-c', 'echo kept > /a/file; cat /b/file'], {
      container: { ...PLAIN_CONTAINER, mounts, user: '1234' },
    });
    expect(await job.ended).toMatchObject({ exitCode: 0 });
    expect(job.output()).toBe('kept\n');
    await host.runtime.release(job.key);
    expect(existsSync(join(job.directory, 'scratch'))).toBe(false);
  });

  it('gets a read-only root, memory file systems, shared memory, limits and an init process', async () => {
    const { output } = await finish(
      'touch /x 2>/dev/null || echo read-only; touch /t/x && echo tmpfs; df -k /dev/shm | tail -n 1 | awk "{print \\$2}"; ulimit -n; cat /proc/1/comm',
      {
        readOnlyRoot: true,
        tmpfs: [{ target: '/t', options: 'size=1048576' }],
        sharedMemoryBytes: 2 * 1024 * 1024,
        ulimits: [{ name: 'nofile', soft: 77, hard: 88 }],
        init: true,
      },
    );
    expect(output.split('\n').slice(0, 4)).toEqual(['read-only', 'tmpfs', '2048', '77']);
    expect(output.split('\n')[4]).toMatch(/init/);
  });

  it('takes another entrypoint and the image’s own command', async () => {
    const container = { ...PLAIN_CONTAINER, entrypoint: ['echo', 'entry'] };
    expect((await host.finish(['argument'], { container })).output).toBe('entry argument\n');
  });

  it('is not privileged unless the node allows it', async () => {
    const outcome = await finish('true', { privileged: true });
    expect(outcome).toMatchObject({ cause: 'launch_failed' });
    expect(outcome.reason).toMatch(/^CannotCreateContainerError: privileged containers are not allowed on this node/);
    const lax = await TestHost.openTested(testedContainers(engine.socket, { allowPrivileged: true }));
    await lax.runtime.attach([]);
    try {
      const container = { ...PLAIN_CONTAINER, privileged: true };
      const { output } = await lax.finish(['grep', 'CapEff', '/proc/self/status'], { container });
      expect(output).not.toContain('\t0000000000000000');
    } finally {
      await lax.close();
    }
  });

  it('says in AWS’s words that an image cannot be had', async () => {
    const never = await finish('true', { image: 'no-such-image:1' });
    expect(never.reason).toBe(
      'CannotPullContainerError: image no-such-image:1 is not on this node, and its pull policy is never',
    );
    // Nothing listens there: what the engine says of it is passed on.
    const unreachable = await finish('true', { image: '127.0.0.1:1/none:1', pullPolicy: 'missing' });
    expect(unreachable).toMatchObject({ cause: 'launch_failed' });
    expect(unreachable.reason).toMatch(/^CannotPullContainerError: .*127\.0\.0\.1:1/);
  });
});
