import { spawnSync } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bootId } from '../launcher/boot.ts';
import { prepareLaunch, readClaim, readLaunch, readProcess } from '../launcher/records.ts';
import { readLaunchRecord } from './attempt.ts';
import { AgentProcess } from './testing/agent-process.ts';
import { eventually, makeBase, NO_CGROUPS, TestHost } from './testing/host.ts';

const JOBS = 20;
/** As every Debian has it. */
const NOBODY = { uid: 65_534, gid: 65_534 };

function supervisorOf(directory: string): number {
  const claim = readClaim(directory);
  if (claim.by !== 'supervisor') throw new Error(`${directory} is claimed by ${claim.by}`);
  return claim.supervisor.pid;
}

function directoriesOf(base: string): string[] {
  return readdirSync(base)
    .filter((name) => name !== 'runtime')
    .map((name) => join(base, name));
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended first.
  }
}

/** The launcher is the supervisors' parent until it ends. */
function launcherOf(directory: string): number {
  return readProcess(supervisorOf(directory))?.parent ?? 0;
}

describe.each([
  ['with control groups', {}],
  ['without control groups', { WITHOUT_CGROUPS: '1' }],
])('an agent killed with -9, %s', (_, environment) => {
  let base: string;
  let host: TestHost | undefined;
  const options = () => ('WITHOUT_CGROUPS' in environment ? { base, cgroups: NO_CGROUPS } : { base });
  const directories = () => directoriesOf(base);
  beforeEach(() => {
    base = makeBase();
    host = undefined;
  });
  afterEach(() => host?.close());

  it('finds its running jobs again, twice, and gets every exit code', async () => {
    const first = new AgentProcess(base, JOBS, ['sh', '-c', 'echo up; while :; do sleep 0.05; done'], environment);
    await first.seen('started', JOBS);
    await first.kill();
    const second = new AgentProcess(base, 0, [], environment);
    await second.seen('attached');
    await second.kill();
    host = await TestHost.open(options());
    const attached = await host.attachAll();
    expect([...attached.values()].map(({ state }) => state)).toEqual(Array.from({ length: JOBS }, () => 'running'));
    for (const key of attached.keys()) host.runtime.stop(key, { graceSeconds: 5, reason: 'stop' });
    for (const key of attached.keys()) expect(await host.ended(key)).toMatchObject({ cause: 'stopped', signal: 15 });
    for (const directory of directories()) expect(readFileSync(join(directory, 'output'), 'utf8')).toMatch(/^up\n/);
  });

  it('collects what ended while it was away', async () => {
    const first = new AgentProcess(base, JOBS, ['sh', '-c', 'sleep 0.4; exit 5'], environment);
    await first.seen('started', JOBS);
    await first.kill();
    const supervisors = directories().map(supervisorOf);
    await eventually('all supervisors are done', () => supervisors.every((pid) => readProcess(pid) === undefined));
    host = await TestHost.open(options());
    const attached = await host.attachAll();
    expect(attached.size).toBe(JOBS);
    for (const one of attached.values()) {
      expect(one).toMatchObject({ state: 'ended', outcome: { cause: 'exited', exitCode: 5 } });
    }
  });

  it('survives the launcher and the agent killed at once', async () => {
    const first = new AgentProcess(base, 2, ['sh', '-c', 'sleep 0.4; exit 6'], environment);
    await first.seen('started', 2);
    process.kill(launcherOf(directories()[0] ?? ''), 'SIGKILL');
    await first.kill();
    host = await TestHost.open(options());
    for (const [key, one] of await host.attachAll()) {
      const outcome = one.state === 'ended' ? one.outcome : await host.ended(key);
      expect(outcome).toMatchObject({ cause: 'exited', exitCode: 6 });
    }
  });

  it('goes on with a time-out that began under the agent before', async () => {
    const first = new AgentProcess(base, 1, ['sleep', '1000'], {
      ...environment,
      LAUNCH: JSON.stringify({ timeoutSeconds: 1.5 }),
    });
    await first.seen('started');
    await first.kill();
    host = await TestHost.open(options());
    const [key = ''] = (await host.attachAll()).keys();
    const outcome = await host.ended(key);
    expect(outcome).toMatchObject({ cause: 'timed_out', signal: 15 });
    expect(outcome.runDurationMs).toBeLessThan(3_000);
  });

  it('tells a job as lost when its supervisor was killed too, and leaves nothing of it running', async () => {
    const first = new AgentProcess(base, 1, ['sh', '-c', 'sleep 1000 & sleep 1000'], environment);
    await first.seen('started');
    const [directory = ''] = directories();
    const job = readLaunch(directory).process?.pid ?? 0;
    process.kill(supervisorOf(directory), 'SIGKILL');
    await first.kill();
    host = await TestHost.open(options());
    const [one] = (await host.attachAll()).values();
    expect(one).toMatchObject({ state: 'ended', outcome: { cause: 'lost' } });
    expect(one?.state === 'ended' && one.outcome.exitCode).toBeUndefined();
    expect(readProcess(job)).toBeUndefined();
  });
});

describe('a running agent', () => {
  let host: TestHost;
  beforeEach(async () => {
    host = await TestHost.ready();
  });
  afterEach(() => host.close());

  it('notices a supervisor killed with -9, kills its job and invents no exit code', async () => {
    const job = host.run(['sleep', '1000']);
    await job.started;
    process.kill(supervisorOf(job.directory), 'SIGKILL');
    const outcome = await job.ended;
    expect(outcome.cause).toBe('lost');
    expect(outcome.exitCode).toBeUndefined();
    expect(outcome.signal).toBeUndefined();
  });

  it('goes on with another launcher when its own is killed', async () => {
    const before = host.run(['sh', '-c', 'sleep 0.3; exit 4']);
    await before.started;
    process.kill(launcherOf(before.directory), 'SIGKILL');
    expect(await before.ended).toMatchObject({ cause: 'exited', exitCode: 4 });
    expect(await host.finish(['true'])).toMatchObject({ cause: 'exited', exitCode: 0 });
  });
});

describe('an agent killed with -9 at any moment of a burst of starts', () => {
  it.each([0, 15, 40, 80, 130])(
    'after %d ms: each attempt ran once and says so, or never ran and never will',
    async (delay) => {
      const base = makeBase();
      const first = new AgentProcess(base, 2 * JOBS, ['sh', '-c', 'echo ran']);
      await first.seen('attached');
      await new Promise((resolve) => setTimeout(resolve, delay));
      const started = directoriesOf(base).find((directory) => readClaim(directory).by === 'supervisor');
      const launcher = started === undefined ? 0 : launcherOf(started);
      // Every other round the launcher dies with it, and with it the lines that it had not read.
      if (delay % 2 === 0 && launcher > 1) killQuietly(launcher);
      await first.kill();
      const host = await TestHost.open({ base });
      const attached = await host.attachAll();
      for (const [key, one] of attached) {
        const outcome = one.state === 'ended' ? one.outcome : await host.ended(key);
        const ran = existsSync(join(base, key, 'output')) ? readFileSync(join(base, key, 'output'), 'utf8') : '';
        if (outcome.cause === 'not_started') expect(ran).toBe('');
        else expect({ ...outcome, ran }).toMatchObject({ cause: 'exited', exitCode: 0, ran: 'ran\n' });
      }
      for (const [key, one] of attached) {
        if (one.state !== 'ended' || one.outcome.cause !== 'not_started') continue;
        expect(existsSync(join(base, key, 'output'))).toBe(false);
      }
      await host.close();
    },
  );
});

describe('an agent that is not root', () => {
  it('runs everything as itself, killed in between or not, and refuses other users', async ({ skip }) => {
    const { uid, gid } = NOBODY;
    const probe = spawnSync(process.execPath, ['--version'], { uid, gid, cwd: '/' });
    const sources = spawnSync('test', ['-r', fileURLToPath(import.meta.url)], { uid, gid });
    if (process.getuid?.() !== 0) return skip('not root: every other test here is this one');
    if (probe.status !== 0 || sources.status !== 0) return skip('nobody else may read the sources of this checkout');
    const base = makeBase();
    mkdirSync(join(base, 'runtime'));
    for (const path of [base, join(base, 'runtime')]) chownSync(path, uid, gid);
    const environment = { WITHOUT_CGROUPS: '1', LAUNCH: '{"user":"nobody"}' };
    const first = new AgentProcess(base, 2, ['sh', '-c', 'id -u; sleep 0.5; exit 3'], environment, NOBODY);
    await first.seen('started', 2);
    await first.kill();
    const second = new AgentProcess(base, 1, ['true'], { ...environment, LAUNCH: '{"user":"root"}' }, NOBODY);
    const [refused] = await second.seen('ended');
    expect(refused).toContain('cannot run a job as root: its agent runs as nobody');
    await second.kill();
    const host = await TestHost.open({ base, cgroups: NO_CGROUPS });
    for (const [key, one] of await host.attachAll()) {
      const outcome = one.state === 'ended' ? one.outcome : await host.ended(key);
      if (outcome.cause === 'not_started') continue;
      expect(outcome).toMatchObject({ cause: 'exited', exitCode: 3 });
      expect(readFileSync(join(base, key, 'output'), 'utf8')).toBe(`${uid}\n`);
    }
    await host.close();
  });
});

describe('a claim', () => {
  let base: string;
  let host: TestHost;
  beforeEach(async () => {
    base = makeBase();
    host = await TestHost.open({ base });
  });
  afterEach(() => host.close());

  function attempt(key: string, files: Record<string, string>, launch?: object): string {
    const directory = join(base, key);
    mkdirSync(directory);
    if (launch !== undefined) prepareLaunch(directory, launch, '');
    for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
    return directory;
  }
  const launch = { key: 'x', bootId: bootId(), launchedAtUptimeMs: 0, stopGraceSeconds: 1, program: 'x' };

  it('is taken by the agent where nobody had it, so that a slow supervisor never starts', async () => {
    const directory = attempt('slow', {}, launch);
    expect((await host.attachAll()).get('slow')).toMatchObject({ outcome: { cause: 'not_started' } });
    expect(readClaim(directory)).toEqual({ by: 'agent' });
  });

  it('without a word in it is revoked', async () => {
    const directory = attempt('half', { record: '' }, launch);
    expect((await host.attachAll()).get('half')).toMatchObject({ outcome: { cause: 'not_started' } });
    expect(readdirSync(directory)).toContain('revoked');
  });

  it('of another boot is over: by its exit record if that is whole, else unknown', async () => {
    attempt('whole', { record: 'started 10.00\nexit 3 exited 12.34 earlier end\n' });
    attempt('torn', { record: 'exit 3 exited 12.3' });
    attempt('foreign', { record: `exit 3 exited 12.34 ${bootId()} end\n` });
    const attached = await host.attachAll('earlier');
    expect(attached.get('whole')).toMatchObject({ outcome: { cause: 'exited', exitCode: 3, runDurationMs: 2340 } });
    expect(attached.get('torn')).toMatchObject({ outcome: { cause: 'host_restarted' } });
    expect(attached.get('foreign')).toMatchObject({ outcome: { cause: 'host_restarted' } });
    expect(readLaunchRecord(join(base, 'torn'))).toBeUndefined();
  });
});
