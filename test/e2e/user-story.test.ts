import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { connectGalley } from '@galley/sdk';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Finished, runGalley } from '../harness/child.ts';
import { clearLeftovers, processesOf } from '../harness/leftovers.ts';
import { makePlace, type Place } from '../harness/place.ts';
import { freePort } from '../harness/port.ts';
import { eventually } from '../harness/wait.ts';

// Processes start and are killed here, and the machine may be busy.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 60_000 });

// Somebody who has never seen the project: one machine, one command, a batch. In the order in which people type it.

let place: Place;
let port: string;

function galley(...words: string[]): Promise<Finished> {
  return runGalley(words, { env: { ...place.environment, GALLEY_DATA_DIR: place.data }, limitMs: 60_000 });
}

beforeAll(async () => {
  place = makePlace();
  port = String(await freePort());
});

afterAll(async () => {
  await clearLeftovers(place.base);
  place.remove();
});

describe('before anything was started', () => {
  it('commands say in one sentence what is missing and what to type', async () => {
    const { code, stdout, stderr } = await galley('jobs');
    expect(code).toBe(125);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^galley: no control plane has been started in .*\n {2}galley up\n/);
  });

  it('under --json the failure is JSON too', async () => {
    const { code, stdout, stderr } = await galley('jobs', '--json');
    expect(code).toBe(125);
    expect(stdout).toBe('');
    expect(JSON.parse(stderr)).toMatchObject({ error: { code: 'NOT_CONFIGURED' } });
  });

  it('down has nothing to do', async () => {
    const { code, stderr } = await galley('down');
    expect(code).toBe(0);
    expect(stderr).toContain('nothing of');
  });
});

describe('galley up', () => {
  it('starts a control plane and an agent in the background and says where', async () => {
    const { code, stdout, stderr } = await galley('up', '--port', port, '--name', 'here');
    expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringContaining('galley run -- echo hello') });
    expect(stdout).toMatch(/^Control plane started: 127\.0\.0\.1:\d+.*, data in .* \(process \d+\)$/m);
    expect(stdout).toMatch(/^Agent started: node here: [\d.]+ vCPU, .* for jobs \(process \d+\)$/m);
  });

  it('a second time finds both', async () => {
    const { code, stdout, stderr } = await galley('up', '--port', port);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Control plane is up: .*\nAgent is up: /);
    expect(stderr).toContain('nothing to do');
  });

  it('shows the node with what it has, and no warning where limits can be held', async () => {
    const { code, stdout } = await galley('nodes');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^NODE +STATE/);
    expect(stdout).toMatch(/^here +READY +default/m);
    expect(stdout).not.toMatch(/\bNO (cpu|memory|pids)/);
  });

  it('an empty list says what to type next', async () => {
    const { code, stderr } = await galley('jobs');
    expect(code).toBe(0);
    expect(stderr).toMatch(/galley (submit|run)/);
    const { stdout } = await galley('jobs', '--json');
    expect(JSON.parse(stdout)).toEqual([]);
  });
});

describe('a first job', () => {
  it('is submitted with documented defaults, which the reply shows', async () => {
    const { code, stdout } = await galley('submit', '--', 'echo', 'hello');
    expect(code).toBe(0);
    expect(stdout).toMatch(/1 vCPU/);
    expect(stdout).toMatch(/512 MiB/);
  });

  it('is waited for as @last, and exits 0', async () => {
    const { code, stdout } = await galley('wait', '@last');
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringMatching(/^Job \d+ \(echo\) succeeded\n$/) });
  });

  it('has a log', async () => {
    const { code, stdout } = await galley('logs', '@last');
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'hello\n' });
  });

  it('is in the list, and the list is JSON when asked', async () => {
    const { stdout } = await galley('jobs');
    expect(stdout).toMatch(/SUCCEEDED/);
    expect(stdout).toMatch(/echo/);
    const listed = JSON.parse((await galley('jobs', '--json')).stdout) as unknown[];
    expect(listed).toEqual([expect.objectContaining({ jobName: 'echo', state: 'SUCCEEDED', exitCode: 0 })]);
  });

  it('can be looked at whole, by number', async () => {
    const job = JSON.parse((await galley('job', '1', '--json')).stdout) as unknown;
    expect(job).toMatchObject({
      summary: { number: 1, state: 'SUCCEEDED', node: 'here' },
      attempts: [{ attempt: 1, cause: 'EXITED', exitCode: 0, peakMemoryBytes: expect.any(Number) }],
    });
  });

  it('left a record for the accounts', async () => {
    const { code, stdout } = await galley('history', '--csv');
    expect(code).toBe(0);
    const [header = '', record = ''] = stdout.split('\n');
    expect(header).toMatch(/^number,job_id,attempt,user/);
    expect(record).toMatch(/^1,/);
  });
});

describe('galley run', () => {
  it('shows the output and exits as the job', async () => {
    const { code, stdout, stderr } = await galley('run', '--', 'sh', '-c', 'echo out; echo err >&2; exit 3');
    expect({ code, stdout }).toEqual({ code: 3, stdout: 'out\nerr\n' });
    expect(stderr).toMatch(/Job \d+ \(sh\) failed: exit 3/);
  });

  it('keeps stdout and stderr apart when asked', async () => {
    const { stdout, stderr } = await galley(
      'run',
      '--quiet',
      '--separate-streams',
      '--',
      'sh',
      '-c',
      'echo o; echo e >&2',
    );
    expect(stdout).toBe('o\n');
    expect(stderr).toContain('e\n');
  });

  it('exits 128 and the signal when the job was killed by one', async () => {
    expect((await galley('run', '--quiet', '--', 'sh', '-c', 'kill -KILL $$')).code).toBe(137);
  });

  it('exits 125 with the reason when the job cannot be started', async () => {
    const { code, stderr } = await galley('run', '--', '/no/such/program');
    expect(code).toBe(125);
    expect(stderr).toContain('command "/no/such/program" was not found or may not be executed');
  });

  it('says on Ctrl-C what goes on, and how to end it', async () => {
    const { code, stderr } = await runGalley(['run', '--', 'sh', '-c', 'echo up; exec sleep 1000'], {
      env: { ...place.environment, GALLEY_DATA_DIR: place.data },
      onSpawn: (child) => {
        child.stdout?.once('data', () => child.kill('SIGINT'));
      },
    });
    expect(code).toBe(130);
    expect(stderr).toMatch(/job \d+ goes on; .*`galley cancel \d+`/);
    const timedOut = await galley('wait', '@last', '--timeout', '100ms');
    expect(timedOut.code).toBe(124);
    const cancelled = await galley('cancel', '@last', '--grace', '1s', '--json');
    expect(JSON.parse(cancelled.stdout)).toMatchObject([{ outcome: 'STOPPING' }]);
    // SIGTERM ended it: 128 + 15.
    expect((await galley('wait', '@last')).code).toBe(143);
  });
});

describe('whoever reads our output', () => {
  it('may have had enough', async () => {
    const main = import.meta.resolve('@galley/sdk/cli/main.ts').slice('file://'.length);
    const pipe = spawn('sh', ['-c', `"$0" "$1" jobs --json | head -c 1`, process.execPath, main], {
      env: { ...place.environment, GALLEY_DATA_DIR: place.data },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const said: Buffer[] = [];
    pipe.stderr.on('data', (piece: Buffer) => said.push(piece));
    const code = await new Promise((resolve) => pipe.once('close', resolve));
    expect({ code, stderr: Buffer.concat(said).toString() }).toEqual({ code: 0, stderr: '' });
  });
});

describe('galley down', () => {
  it('stops both, and says what goes on without them', async () => {
    await galley('submit', '--quiet', '--', 'sh', '-c', `until [ -e ${join(place.shared, 'go')} ]; do sleep 0.1; done`);
    using client = connectGalley({ dataDirectory: place.data, env: {} });
    await eventually('the job runs', async () => (await client.getClusterStatus()).liveJobs?.running === 1);
    const { code, stdout } = await galley('down');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Agent stopped\nControl plane stopped\n1 job still running without them/m);
    expect((await galley('jobs')).stderr).toMatch(/^galley: no control plane .*\n {2}galley up\n/);
  });

  it('does not let another node take what is this one’s', async () => {
    const { code, stderr } = await galley('up', '--port', port, '--name', 'other');
    expect(code).toBe(125);
    expect(stderr).toMatch(
      /nodeName: the state directory .* is that of node here, whose jobs may still run; got "other"/,
    );
  });

  it('and up again picks the job up', async () => {
    expect((await galley('up', '--port', port)).code).toBe(0);
    expect(JSON.parse((await galley('jobs', '--state', 'running', '--json')).stdout)).toHaveLength(1);
    await runTouch(join(place.shared, 'go'));
    expect((await galley('wait', '@last')).code).toBe(0);
  });

  it('--stop-jobs ends the jobs first and leaves nothing running', async () => {
    await galley('submit', '--quiet', '--stop-grace', '1s', '--', 'sleep', '1000');
    const { code, stdout } = await galley('down', '--stop-jobs');
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringContaining('1 job ended') });
    expect(processesOf(place.base)).toEqual([]);
  });
});

async function runTouch(path: string): Promise<void> {
  const touch = spawn('touch', [path]);
  await new Promise((resolve) => touch.once('close', resolve));
  expect(existsSync(path)).toBe(true);
}
