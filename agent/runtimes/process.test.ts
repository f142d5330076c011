import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ENFORCED } from '../cgroup/cgroup.ts';
import { MAXIMUM_ARGUMENT_BYTES } from '../launcher/job-script.ts';
import { readProcess } from '../launcher/records.ts';
import { eventually, MEBIBYTE, TestHost } from './testing/host.ts';

const root = process.getuid?.() === 0;
const SEPARATOR = '\u0000';

describe('a job that runs', () => {
  let host: TestHost;
  beforeAll(async () => {
    host = await TestHost.ready();
  });
  afterAll(() => host.close());

  it('tells an exit code of 137 from a SIGKILL, and one of 130 from a SIGINT', async () => {
    expect(await host.finish(['sh', '-c', 'exit 137'])).toMatchObject({ cause: 'exited', exitCode: 137 });
    const killed = await host.finish(['sh', '-c', 'kill -KILL $$']);
    expect(killed).toMatchObject({ cause: 'signalled', signal: 9 });
    expect(killed.exitCode).toBeUndefined();
    expect(await host.finish(['sh', '-c', 'exit 130'])).toMatchObject({ cause: 'exited', exitCode: 130 });
    expect(await host.finish(['sh', '-c', 'kill -INT $$'])).toMatchObject({ cause: 'signalled', signal: 2 });
  });

  it('resolves its start before its end, and measures duration, memory and CPU time', async () => {
    const job = host.run(['sh', '-c', 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done']);
    expect(await job.started).toMatchObject({ state: 'running' });
    const outcome = await job.ended;
    expect(outcome.runDurationMs).toBeGreaterThanOrEqual(20);
    if (host.runtime.description.limits.memory === ENFORCED) {
      expect(outcome.cpuTimeUs).toBeGreaterThan(20_000);
      expect(outcome.peakMemoryBytes).toBeGreaterThan(100_000);
      expect(outcome.oomKills).toBe(0);
    }
  });

  it('hands over every byte but NUL, in arguments and in variables of any name', async () => {
    const bytes = Array.from({ length: 0x2ff }, (_, index) => String.fromCodePoint(index + 1)).join('');
    const hostile = ["'", "'\\''", '$(touch /tmp/x)', '`id`', 'a\nb', '\\', '', '-n', '"', '\u{1f600}', bytes];
    const program = `
      binmode STDOUT;
      print join("\\0", @ARGV, map { "$_=$ENV{$_}" } grep { /^x/ } sort keys %ENV);
    `;
    const environment = { 'x.dotted name%': bytes, "x'quote": "it's", 'x\n': '', xOPTIND: 'abc', OPTIND: 'word' };
    const { output } = await host.finish(['perl', '-e', program, '--', ...hostile], { environment });
    expect(output.split(SEPARATOR)).toEqual([
      ...hostile,
      ...['x\n=', `x'quote=it's`, `x.dotted name%=${bytes}`, 'xOPTIND=abc'],
    ]);
  });

  it('takes arguments of 100 KiB and refuses what the kernel cannot take, naming it', async () => {
    const long = "it's".repeat(25 * 1024);
    const { output } = await host.finish(['printf', '%s', long]);
    expect(output).toBe(long);
    const over = 'x'.repeat(MAXIMUM_ARGUMENT_BYTES + 1);
    const refused = await host.finish(['true', over]);
    expect(refused.cause).toBe('launch_failed');
    expect(refused.reason).toContain(`command[1]: at most ${MAXIMUM_ARGUMENT_BYTES} bytes, got ${over.length}`);
    expect((await host.finish(['a\u0000b'])).reason).toContain('NUL');
  });

  it('leaves nothing of its environment on the disk once it has started, however long its script is', async () => {
    const environment = Object.fromEntries(Array.from({ length: 50 }, (_, n) => [`SECRET_${n}`, `${n}`.repeat(2_000)]));
    const job = host.run(['sh', '-c', 'printf %s "$SECRET_49"; exec sleep 1000'], { environment });
    await job.started;
    const launch = () => readFileSync(join(job.directory, 'launch'), 'utf8');
    await eventually('the script is gone', () => !launch().includes('SECRET'));
    expect(launch()).toMatch(/^# \{.*\}\n$/);
    await eventually('the job has written', () => job.output() !== '');
    host.runtime.stop(job.key, { graceSeconds: 0, reason: 'seen' });
    await job.ended;
    expect(job.output()).toBe('49'.repeat(2_000));
  });

  it('runs programs whose names look like options and variables', async () => {
    const directory = join(host.base, 'attempt-programs');
    mkdirSync(directory, { mode: 0o755 });
    for (const name of ['a=b', '-x']) {
      writeFileSync(join(directory, name), '#!/bin/sh\necho "ran"\n', { mode: 0o755 });
    }
    const reachable = { allowed: await host.finish(['test', '-x', join(directory, 'a=b')]) };
    // The base is closed to other users, so the programs are reached through PATH only where the job may look.
    if (reachable.allowed.exitCode !== 0) return;
    for (const name of ['a=b', '-x']) {
      expect((await host.finish([name], { environment: { PATH: directory } })).output).toBe('ran\n');
    }
  });

  it('has no input, the documented umask, signals in their default state and no descriptor of ours', async () => {
    const { output } = await host.finish([
      'sh',
      '-c',
      'umask; read -r x || echo eof; grep SigIgn /proc/self/status; for fd in 3 4 5 6; do [ -e /proc/$$/fd/$fd ] && echo open $fd; done; true',
    ]);
    expect(output).toBe('0022\neof\nSigIgn:\t0000000000000000\n');
  });

  it('says that a command or a working directory is not there, and gives no exit code', async () => {
    const command = await host.finish(['no-such-program']);
    expect(command).toMatchObject({ cause: 'launch_failed' });
    expect(command.reason).toContain('command "no-such-program" was not found');
    expect(command.exitCode).toBeUndefined();
    const directory = await host.finish(['true'], { workingDirectory: '/no/such/place' });
    expect(directory.reason).toContain('working directory "/no/such/place" cannot be entered');
  });
});

describe('a job that is stopped', () => {
  let host: TestHost;
  beforeAll(async () => {
    host = await TestHost.ready();
  });
  afterAll(() => host.close());

  it('is killed after the grace when it ignores SIGTERM, with all its children', async () => {
    const job = host.run(['sh', '-c', 'trap "" TERM; sleep 1000 & sleep 1000 & echo up; wait']);
    await eventually('it ignores SIGTERM', () => job.output() === 'up\n');
    host.runtime.stop(job.key, { graceSeconds: 0.2, reason: 'enough' });
    expect(await job.ended).toMatchObject({ cause: 'stopped', signal: 9 });
    await eventually('zombies are collected', () => (host.runtime.usage(job.key)?.processes ?? 0) === 0);
  });

  it('ends at its time-out with the text that clients compare with', async () => {
    const outcome = await host.finish(['sleep', '1000'], { timeoutSeconds: 0.3 });
    expect(outcome).toMatchObject({ cause: 'timed_out', reason: 'Job attempt duration exceeded timeout', signal: 15 });
    expect(outcome.runDurationMs).toBeGreaterThanOrEqual(290);
  });
});

describe('whose job it is', () => {
  let host: TestHost;
  beforeAll(async () => {
    host = await TestHost.ready();
  });
  afterAll(() => host.close());

  it('runs as the user it names, with that user’s groups and account, and no new privileges', async () => {
    if (!root) {
      expect((await host.finish(['true'], { user: 'root' })).reason).toContain('not as root');
      return;
    }
    const groups = readFileSync('/etc/group', 'utf8')
      .split('\n')
      .map((line) => line.split(':'))
      .filter((fields) => fields[3] !== undefined && fields[3] !== '');
    const user =
      (groups.find((fields) => !fields[3]?.split(',').includes('root'))?.[3] ?? 'daemon').split(',')[0] ?? '';
    const script = 'id -un; id -G; echo $HOME $USER $LOGNAME $SHELL; grep NoNewPrivs /proc/self/status';
    const { output } = await host.finish(['sh', '-c', script], { user });
    const { execa } = await import('execa');
    const [ids, passwd] = await Promise.all([execa('id', ['-G', user]), execa('getent', ['passwd', user])]);
    const fields = passwd.stdout.split(':');
    expect(output.split('\n').slice(0, 4)).toEqual([
      user,
      ids.stdout,
      `${fields[5]} ${user} ${user} ${fields[6]}`,
      'NoNewPrivs:\t1',
    ]);
  });

  it('is never root by default, neither unnamed nor when it asks', async () => {
    for (const user of [undefined, 'root']) {
      if (!root) continue;
      const { output } = await host.finish(['id', '-u'], user === undefined ? {} : { user });
      expect(Number(output)).toBeGreaterThan(0);
    }
  });

  it('fails where the node does not know the user, naming user and node, and nobody runs it instead', async () => {
    const job = host.run(['true'], { user: 'no-such-user' });
    const outcome = await job.ended;
    expect(outcome.cause).toBe('launch_failed');
    expect(outcome.reason).toContain('no-such-user');
    if (root) expect(outcome.reason).toContain(hostname());
  });
});

describe('limits', () => {
  let host: TestHost;
  beforeAll(async () => {
    host = await TestHost.ready();
  });
  afterAll(() => host.close());

  it('tell a job killed for its memory from one that failed', async () => {
    if (host.runtime.description.limits.memory !== ENFORCED) {
      expect(host.runtime.description.limits.memory).toMatch(/^unavailable: /);
      return;
    }
    const outcome = await host.finish(['perl', '-e', 'my $x = "a" x (200 << 20); print length $x']);
    expect(outcome).toMatchObject({
      cause: 'out_of_memory',
      reason: 'OutOfMemoryError: Container killed due to memory usage',
    });
    expect(outcome.oomKills).toBeGreaterThan(0);
    expect(outcome.peakMemoryBytes).toBeGreaterThan(60 * MEBIBYTE);
    const next = await host.finish(['false']);
    expect(next).toMatchObject({ cause: 'exited', exitCode: 1, oomKills: 0 });
    expect(next.peakMemoryBytes).toBeLessThan(16 * MEBIBYTE);
  });

  it('leave an exit record when many small processes run out of memory together', async () => {
    if (host.runtime.description.limits.memory !== ENFORCED) return;
    const hog = 'my @a; for (1..40) { push @a, "x" x (1 << 20); select undef, undef, undef, 0.002 }';
    const script = `i=0; while [ $i -lt 20 ]; do perl -e '${hog}' & i=$((i+1)); done; wait; exit 9`;
    const outcome = await host.finish(['sh', '-c', script]);
    expect(outcome.cause).toBe('out_of_memory');
    expect(outcome.oomKills).toBeGreaterThan(0);
  });

  it('stop a fork bomb at the number of processes, and kill all of it', async () => {
    if (host.runtime.description.limits.pids !== ENFORCED) return;
    const job = host.run(['perl', '-e', 'while (1) { fork; }'], {
      limits: { milliVcpu: 500, memoryBytes: 256 * MEBIBYTE, swapBytes: 0, pids: 100 },
    });
    await job.started;
    await eventually('it is at its bound', () => (host.runtime.usage(job.key)?.processes ?? 0) >= 100);
    expect(host.runtime.usage(job.key)?.processes).toBe(100);
    host.runtime.stop(job.key, { graceSeconds: 0, reason: 'bomb' });
    const outcome = await job.ended;
    expect(outcome).toMatchObject({ cause: 'stopped', signal: 9 });
    expect(outcome.leftBehind).toBeUndefined();
    await eventually('zombies are collected', () => host.runtime.usage(job.key)?.processes === 0);
  });

  it('take a daemon with them that forked twice into a session of its own', async () => {
    const script = "(setsid sh -c 'echo $$; exec sleep 1000' &) ; sleep 0.1; exit 0";
    const { output, cause } = await host.finish(['sh', '-c', script]);
    expect(cause).toBe('exited');
    expect(Number(output)).toBeGreaterThan(1);
    expect(readProcess(Number(output))).toBeUndefined();
  });
});
