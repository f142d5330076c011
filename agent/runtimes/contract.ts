import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { AttemptLaunch } from './runtime.ts';
import { AgentProcess } from './testing/agent-process.ts';
import { eventually, MEBIBYTE, makeBase, type Tested, type TestedRuntime, TestHost } from './testing/host.ts';

/** What differs between runtimes that both keep the contract. */
export interface Contract<R extends TestedRuntime> extends Tested<R> {
  /** Of the test's agent program. */
  readonly environment: Record<string, string>;
  /** Whether an end by a signal is told from an exit code of 128+n. */
  readonly tellsSignals: boolean;
  /** Whether both streams in one file keep the order in which they were written. */
  readonly ordersStreams: boolean;
  /** Whether these are enforced here. */
  readonly limits: { readonly memory: boolean; readonly cpu: boolean; readonly pids: boolean };
  /** Undefined when no attempt holds anything on the host any more, else what is left. */
  leftovers(base: string): Promise<string | undefined>;
}

const JOBS = 4;
/** A line that a job writes many times, with every byte but a newline in it. */
const ANY_BYTES = 'awk \'BEGIN { for (i = 1; i < 256; i++) if (i != 10) printf "%c", i }\'';

/** What every runtime must do. Scripts are for `sh` of dash and of busybox. */
export function testRuntime<R extends TestedRuntime>(contract: Contract<R>): void {
  const sh = (script: string) => ['sh', '-c', script];
  const open = (base?: string) => TestHost.openTested(contract, base);

  describe('a job that runs', () => {
    let host: TestHost<R>;
    beforeAll(async () => {
      host = await open();
      await host.runtime.attach([]);
    });
    afterAll(() => host.close());

    it('tells exit codes, those above 128 included', async () => {
      for (const code of [0, 3, 137]) {
        expect(await host.finish(sh(`exit ${code}`))).toMatchObject({ cause: 'exited', exitCode: code });
      }
    });

    it('tells an end by a signal', async () => {
      const outcome = await host.finish(sh('sleep 100 & kill -KILL $!; wait $!'));
      expect(outcome).toMatchObject({ cause: 'exited', exitCode: 137 });
      const itself = await host.finish(['sh', '-c', 'kill -ABRT $$; sleep 0.1; exit 134']);
      if (contract.tellsSignals) expect(itself).toMatchObject({ cause: 'signalled', signal: 6 });
      else expect(itself).toMatchObject({ cause: 'exited', exitCode: 134 });
    });

    it('resolves its start before its end, and measures how long it took', async () => {
      const job = host.run(sh('sleep 0.3'));
      expect(await job.started).toMatchObject({ state: 'running' });
      const outcome = await job.ended;
      expect(outcome.startedAtUptimeMs).toBeGreaterThan(0);
      expect(outcome.runDurationMs).toBeGreaterThanOrEqual(200);
      expect(outcome.runDurationMs).toBeLessThan(10_000);
    });

    it('hands over arguments and variables as they are', async () => {
      const hostile = ["'", '$(touch /tmp/x)', 'a\nb', '\\', '', '-n', '\u{1f600}', 'Ref::x'];
      const environment = { 'x.dotted': 'a b', X_NEWLINE: 'one\ntwo', X_QUOTE: "it's" };
      const script = 'for a; do printf "%s|" "$a"; done; printf "%s|%s" "$X_NEWLINE" "$X_QUOTE"';
      const { output } = await host.finish(['sh', '-c', script, 'sh', ...hostile], { environment });
      expect(output).toBe(`${hostile.join('|')}|one\ntwo|it's`);
      const { output: dotted } = await host.finish(['env'], { environment });
      expect(dotted).toContain('x.dotted=a b\n');
    });

    it('starts in its working directory', async () => {
      expect((await host.finish(['pwd'], { workingDirectory: '/tmp' })).output).toBe('/tmp\n');
    });

    it('keeps every byte of its output, a last line without an end included', async () => {
      const job = host.run(sh(`i=0; while [ $i -lt 200 ]; do ${ANY_BYTES}; echo; i=$((i+1)); done; printf end`));
      expect(await job.ended).toMatchObject({ exitCode: 0 });
      const line = Buffer.from(Array.from({ length: 255 }, (_, index) => index + 1).filter((byte) => byte !== 10));
      const bytes = readFileSync(join(job.directory, 'output'));
      const whole = Buffer.concat([
        ...Array.from({ length: 200 }, () => [line, Buffer.from('\n')]).flat(),
        Buffer.from('end'),
      ]);
      expect(bytes.equals(whole)).toBe(true);
    });

    it('keeps lines longer than any buffer', async () => {
      const { output } = await host.finish(sh('head -c 300000 /dev/zero | tr "\\0" x; echo; echo after'));
      expect(output).toBe(`${'x'.repeat(300_000)}\nafter\n`);
    });

    it('writes both streams into one file, or apart on request', async () => {
      const script = sh('echo one; echo two >&2; echo three');
      const { output } = await host.finish(script);
      const lines = output.split('\n');
      if (contract.ordersStreams) expect(lines).toEqual(['one', 'two', 'three', '']);
      expect(lines.filter((line) => line !== 'two')).toEqual(['one', 'three', '']);
      expect(lines).toContain('two');
      const apart = host.run(script, { separateStreams: true });
      await apart.ended;
      expect(apart.output('stdout')).toBe('one\nthree\n');
      expect(apart.output('stderr')).toBe('two\n');
    });

    it('says that a command is not there, and gives no exit code', async () => {
      const outcome = await host.finish(['no-such-program']);
      expect(outcome.cause).toBe('launch_failed');
      expect(outcome.reason).toMatch(/^CannotStartContainerError: .*no-such-program/s);
      expect(outcome.exitCode).toBeUndefined();
    });

    it('measures peak memory and CPU time, and shows use while it runs', async () => {
      const job = host.run(sh('i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; sleep 1.5'));
      await job.started;
      await eventually('its use is seen', () => (host.runtime.usage(job.key)?.processes ?? 0) > 0);
      const outcome = await job.ended;
      if (!contract.limits.memory) return;
      expect(outcome.peakMemoryBytes).toBeGreaterThan(50_000);
      expect(outcome.cpuTimeUs).toBeGreaterThan(20_000);
    });
  });

  describe('a job that is stopped', () => {
    let host: TestHost<R>;
    beforeAll(async () => {
      host = await open();
      await host.runtime.attach([]);
    });
    afterAll(() => host.close());

    it('gets SIGTERM and time to finish', async () => {
      const job = host.run(sh('trap "echo bye; exit 7" TERM; echo up; while :; do sleep 0.05; done'));
      await eventually('the trap is set', () => job.output() === 'up\n');
      host.runtime.stop(job.key, { graceSeconds: 30, reason: 'not needed any more' });
      expect(await job.ended).toMatchObject({ cause: 'stopped', reason: 'not needed any more', exitCode: 7 });
      expect(job.output()).toMatch(/bye\n$/);
    });

    it('is killed after the grace when it ignores SIGTERM, with all its children', async () => {
      const job = host.run(sh('trap "" TERM; sleep 1000 & sleep 1000 & echo up; wait'));
      await eventually('it ignores SIGTERM', () => job.output() === 'up\n');
      host.runtime.stop(job.key, { graceSeconds: 0.2, reason: 'enough' });
      const outcome = await job.ended;
      expect(outcome).toMatchObject({ cause: 'stopped', reason: 'enough' });
      expect(outcome.signal ?? (outcome.exitCode ?? 0) - 128).toBe(9);
      await eventually('nothing is left of it', () => (host.runtime.usage(job.key)?.processes ?? 0) === 0);
    });

    it('is never begun when it is stopped before its start', async () => {
      const job = host.run(sh('echo ran'));
      host.runtime.stop(job.key, { graceSeconds: 0, reason: 'changed my mind' });
      expect(await job.ended).toMatchObject({ cause: 'stopped', reason: 'changed my mind' });
      expect(await job.started).toMatchObject({ state: 'ended' });
      expect(job.output()).toBe('');
    });

    it('ends at its time-out with the text that clients compare with', async () => {
      const outcome = await host.finish(sh('trap "exit 5" TERM; while :; do sleep 0.05; done'), {
        timeoutSeconds: 0.5,
      });
      expect(outcome).toMatchObject({ cause: 'timed_out', reason: 'Job attempt duration exceeded timeout' });
      expect(outcome.runDurationMs).toBeGreaterThanOrEqual(450);
    });
  });

  describe('limits', () => {
    let host: TestHost<R>;
    beforeAll(async () => {
      host = await open();
      await host.runtime.attach([]);
    });
    afterAll(() => host.close());

    it('tell a job killed for its memory from one that failed', async () => {
      if (!contract.limits.memory) return;
      const limits = { milliVcpu: 1000, memoryBytes: 16 * MEBIBYTE, swapBytes: 0, pids: 64 };
      const outcome = await host.finish(sh('x=0123456789abcdef; while :; do x=$x$x; done'), { limits });
      expect(outcome).toMatchObject({
        cause: 'out_of_memory',
        reason: 'OutOfMemoryError: Container killed due to memory usage',
      });
      expect(await host.finish(['false'])).toMatchObject({ cause: 'exited', exitCode: 1 });
    });

    it('hold the number of processes', async () => {
      if (!contract.limits.pids) return;
      const limits = { milliVcpu: 1000, memoryBytes: 64 * MEBIBYTE, swapBytes: 0, pids: 10 };
      const { output } = await host.finish(
        sh('i=0; while [ $i -lt 30 ]; do sleep 100 & i=$((i+1)); done; echo "all of them"'),
        { limits },
      );
      expect(output).not.toContain('all of them\n');
    });

    it('hold the job to its fraction of a CPU', async () => {
      if (!contract.limits.cpu) return;
      const outcome = await host.finish(sh('trap "exit 1" TERM; while :; do :; done'), {
        limits: { milliVcpu: 200, memoryBytes: 64 * MEBIBYTE, swapBytes: 0, pids: 8 },
        timeoutSeconds: 1,
      });
      expect(outcome.cpuTimeUs).toBeLessThan(0.5 * 1000 * (outcome.runDurationMs ?? 0));
    });
  });

  describe('an agent killed with -9', () => {
    let base: string;
    let host: TestHost<R> | undefined;
    const agent = (count: number, argv: readonly string[], launch: Partial<AttemptLaunch> = {}) =>
      new AgentProcess(base, count, argv, { ...contract.environment, LAUNCH: JSON.stringify(launch) });
    const outcomes = async (attached: Awaited<ReturnType<TestHost<R>['attachAll']>>) =>
      Promise.all(
        Array.from(attached, async ([key, one]) => ({
          key,
          ...(one.state === 'ended' ? one.outcome : await host?.ended(key)),
        })),
      );
    beforeEach(() => {
      base = makeBase();
      host = undefined;
    });
    afterEach(() => host?.close());

    it('finds its running jobs again, twice, and gets every exit code and every line, once', async () => {
      const script = 'i=0; while [ $i -lt 60 ]; do i=$((i+1)); echo $i; sleep 0.05; done; exit 6';
      const first = agent(JOBS, sh(script));
      await first.seen('started', JOBS);
      await first.kill();
      const second = agent(0, []);
      await second.seen('attached');
      await second.kill();
      host = await open(base);
      for (const { key, ...outcome } of await outcomes(await host.attachAll())) {
        expect(outcome).toMatchObject({ cause: 'exited', exitCode: 6 });
        const lines = readFileSync(join(base, key, 'output'), 'utf8')
          .trimEnd()
          .split('\n');
        expect(lines).toEqual(Array.from({ length: 60 }, (_, index) => `${index + 1}`));
      }
    });

    it('collects what ended while it was away', async () => {
      const first = agent(JOBS, sh('sleep 0.4; echo done; exit 5'));
      await first.seen('started', JOBS);
      await first.kill();
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      host = await open(base);
      for (const { key, ...outcome } of await outcomes(await host.attachAll())) {
        expect(outcome).toMatchObject({ cause: 'exited', exitCode: 5 });
        expect(readFileSync(join(base, key, 'output'), 'utf8')).toBe('done\n');
      }
    });

    it('goes on with a time-out that began under the agent before', async () => {
      const first = agent(1, sh('trap "exit 9" TERM; while :; do sleep 0.05; done'), { timeoutSeconds: 3 });
      await first.seen('started');
      await first.kill();
      host = await open(base);
      const [outcome] = await outcomes(await host.attachAll());
      expect(outcome).toMatchObject({ cause: 'timed_out' });
      expect(outcome?.runDurationMs).toBeLessThan(6_000);
    });

    it.each([0, 60, 250])(
      'in the middle of its starts (%d ms): each attempt ran once and says so, or never ran and never will',
      async (delay) => {
        const first = agent(2 * JOBS, sh('echo ran'));
        await first.seen('attached');
        await new Promise((resolve) => setTimeout(resolve, delay));
        await first.kill();
        host = await open(base);
        const output = (key: string) =>
          existsSync(join(base, key, 'output')) ? readFileSync(join(base, key, 'output'), 'utf8') : '';
        const all = await outcomes(await host.attachAll());
        for (const { key, ...outcome } of all) {
          if (outcome.cause === 'not_started') expect(output(key)).toBe('');
          else expect({ ...outcome, ran: output(key) }).toMatchObject({ cause: 'exited', exitCode: 0, ran: 'ran\n' });
        }
        for (const { key, cause } of all) if (cause === 'not_started') expect(output(key)).toBe('');
        for (const { key } of all) await host.runtime.release(key);
        expect(await nothingLeft(contract, base)).toBeUndefined();
      },
    );
  });

  it('leaves nothing behind after many jobs, on the host and in this process', async () => {
    const descriptors = () => readdirSync('/proc/self/fd').length;
    const host = await open();
    await host.runtime.attach([]);
    await host.finish(['true']);
    const before = descriptors();
    for (let round = 0; round < 3; round++) {
      const jobs = Array.from({ length: JOBS }, () => host.run(['true']));
      for (const job of jobs) {
        expect(await job.ended).toMatchObject({ exitCode: 0 });
        await host.runtime.release(job.key);
      }
    }
    await eventually('no descriptor is left', () => descriptors() <= before + 2);
    await host.close();
    expect(await nothingLeft(contract, host.base)).toBeUndefined();
  });
}

/** Undefined as soon as nothing is left, or what still is after some seconds. */
async function nothingLeft<R extends TestedRuntime>(contract: Contract<R>, base: string): Promise<string | undefined> {
  let left: string | undefined = '';
  for (let tries = 0; tries < 100 && left !== undefined; tries++) {
    left = await contract.leftovers(base);
    if (left !== undefined) await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return left;
}
