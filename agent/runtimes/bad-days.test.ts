import { chmodSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openCgroups } from '../cgroup/open.ts';
import { readProcess } from '../launcher/records.ts';
import { UserError } from '../users/lookup.ts';
import { ProcessRuntime } from './process.ts';
import { freezeMount } from './testing/frozen-mount.ts';
import { DEFAULT_LAUNCH, eventually, groupOf, makeBase, TestHost } from './testing/host.ts';

describe('a frozen mount', () => {
  it('under one job’s working directory holds up that job and nothing else', async () => {
    const host = await TestHost.ready();
    const place = makeBase();
    chmodSync(place, 0o755);
    const mount = await freezeMount(join(place, 'mount'));
    if (mount === undefined) {
      // Without root there is no such mount to be had; the job's directory is still touched by nobody but the job.
      expect(process.getuid?.()).not.toBe(0);
      return host.close();
    }
    const stuck = host.run(['true'], { workingDirectory: mount.path });
    try {
      const others = Array.from({ length: 10 }, () => host.finish(['true']));
      for (const outcome of await Promise.all(others)) expect(outcome.exitCode).toBe(0);
      await expect(Promise.race([stuck.started, Promise.resolve('not yet')])).resolves.toBe('not yet');
      host.runtime.stop(stuck.key, { graceSeconds: 0, reason: 'stuck' });
      expect(await stuck.ended).toMatchObject({ cause: 'stopped', reason: 'stuck' });
    } finally {
      await mount.thaw();
      rmSync(place, { recursive: true });
      await host.close();
    }
  });
});

describe('a directory service that does not answer', () => {
  it('holds up only the jobs of users that it is asked for', async () => {
    const base = makeBase();
    const runtime = await ProcessRuntime.open({
      directory: join(base, 'runtime'),
      cgroups: openCgroups(groupOf(base)),
      lookUp: (name) =>
        name === 'alice'
          ? new Promise((_, reject) =>
              setTimeout(() => reject(new UserError('no_answer', 'node n could not look up user alice')), 300),
            )
          : Promise.resolve({ name, uid: 65_534, gid: 65_534, groups: [65_534], home: '/', shell: '/bin/sh' }),
    });
    await runtime.attach([]);
    const host = TestHost.around(base, runtime);
    if (process.getuid?.() !== 0) return host.close();
    const waiting = host.run(['true'], { user: 'alice' });
    expect(await host.finish(['true'])).toMatchObject({ exitCode: 0 });
    expect(runtime.isLive(waiting.key)).toBe(true);
    expect(await waiting.ended).toMatchObject({
      cause: 'launch_failed',
      reason: 'CannotStartContainerError: node n could not look up user alice',
    });
    await host.close();
  });
});

describe('after many jobs', () => {
  it('no process, no control group and no descriptor is left', async () => {
    const host = await TestHost.ready();
    const launcher = host.runtime.launcherPid ?? 0;
    const descriptors = () => readdirSync('/proc/self/fd').length;
    await host.finish(['true']);
    const before = descriptors();
    for (let round = 0; round < 20; round++) {
      const jobs = Array.from({ length: 10 }, () => host.run(['true']));
      for (const job of jobs) {
        expect(await job.ended).toMatchObject({ exitCode: 0 });
        await host.runtime.release(job.key);
      }
    }
    // Some are of the test's own worker and of files that are being closed.
    await eventually('the descriptors are closed', () => descriptors() <= before + 2);
    await eventually('the launcher has collected its supervisors', () => childrenOf(launcher) === 0);
    await host.close();
    expect(readProcess(launcher)).toBeUndefined();
    expect(openCgroups(groupOf(host.base)).hierarchy?.list() ?? []).toEqual([]);
    openCgroups(groupOf(host.base)).hierarchy?.remove();
  });
});

describe('misuse', () => {
  it('is refused: starting before attaching, attaching twice, one key twice', async () => {
    const host = await TestHost.open();
    const launch = { ...DEFAULT_LAUNCH, key: 'x', directory: host.base, argv: ['true'] };
    await expect(host.runtime.start(launch)).rejects.toThrow('between attach and close');
    await host.runtime.attach([]);
    await expect(host.runtime.attach([])).rejects.toThrow('once');
    const job = host.run(['sleep', '1000'], { key: 'twice' });
    await expect(host.runtime.start({ ...launch, key: 'twice' })).rejects.toThrow('twice');
    await job.started;
    await host.close();
  });
});

function childrenOf(parent: number): number {
  return readdirSync('/proc').filter((entry) => /^\d+$/.test(entry) && readProcess(Number(entry))?.parent === parent)
    .length;
}
