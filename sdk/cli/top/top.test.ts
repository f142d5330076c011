import { EventEmitter } from 'node:events';
import { AdminService, EventService, JobService, JobState, NodeService, NodeState } from '@galley/proto';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { GalleyEvent } from '../../events.ts';
import { cli } from '../../testing/cli.ts';
import { type FakeControlPlane, startFakeControlPlane } from '../../testing/fake-control-plane.ts';
import type { ClusterStatus, JobSummary, Node } from '../../types.ts';
import { createColours } from '../colours.ts';
import { drawScreen, type Sample } from './screen.ts';
import { Throughput, WINDOW_SECONDS } from './throughput.ts';

const ended = (state: string, childIndices = '') =>
  ({ job: { job: { state }, childIndices } }) as unknown as GalleyEvent;

describe('throughput', () => {
  it('is what ended in the window, by the time that it spans', () => {
    const ends = fc.array(fc.record({ atMs: fc.nat(200_000), ok: fc.boolean() }), { maxLength: 200 });
    fc.assert(
      fc.property(ends, (all) => {
        const throughput = new Throughput(0);
        const sorted = all.toSorted((a, b) => a.atMs - b.atMs);
        for (const { atMs, ok } of sorted) throughput.add(ended(ok ? 'SUCCEEDED' : 'FAILED'), atMs);
        const nowMs = Math.max(sorted.at(-1)?.atMs ?? 0, 1_000);
        for (const seconds of [10, WINDOW_SECONDS]) {
          const inWindow = sorted.filter(({ atMs }) => Math.floor(atMs / 1000) > Math.floor(nowMs / 1000) - seconds);
          const span = Math.max(1, Math.min(seconds, nowMs / 1000));
          expect(throughput.over(seconds, nowMs)).toEqual({
            started: 0,
            ended: inWindow.length / span,
            failed: inWindow.filter(({ ok }) => !ok).length,
          });
        }
      }),
    );
  });

  it('counts the children of an array', () => {
    const throughput = new Throughput(0);
    throughput.add(ended('SUCCEEDED', '0-99,150'), 500);
    throughput.add(ended('RUNNING'), 500);
    expect(throughput.over(10, 1_000)).toEqual({ started: 1, ended: 101, failed: 0 });
  });
});

const status = {
  startedAtMs: 0,
  liveJobs: { submitted: 0, pending: 1, runnable: 2, starting: 0, running: 30, succeeded: 0, failed: 0 },
  endedJobs: 7,
  nodes: 40,
  readyNodes: 39,
  capacity: { milliVcpu: 8000, memoryBytes: 2 ** 34, named: [] },
  allocated: { milliVcpu: 500, memoryBytes: 2 ** 30, named: [] },
  pauses: [],
} as unknown as ClusterStatus;
const sample: Sample = {
  atMs: 65_000,
  address: 'here:1',
  status,
  nodes: Array.from({ length: 40 }, (_, at) => ({ name: `n${at}`, state: 'READY', runningAttempts: at }) as Node),
  running: Array.from(
    { length: 30 },
    (_, at) =>
      ({ number: at, jobName: `job-${at}`, jobQueue: 'q', user: 'u', node: 'n', startedAtMs: 5_000 }) as JobSummary,
  ),
};
const plain = { width: 100, colours: createColours(false) };

describe('the screen', () => {
  it('says how many jobs, nodes and resources there are, and what ends', () => {
    const throughput = new Throughput(0);
    for (let at = 0; at < 20; at++) throughput.add(ended('SUCCEEDED'), 9_000);
    const lines = drawScreen(sample, { ...plain, height: 40, throughput: { of: throughput, nowMs: 10_000 } });
    expect(lines.slice(0, 4)).toEqual([
      'galley here:1, up 1m 05s, 39 of 40 nodes ready',
      'Jobs       0 submitted, 1 pending, 2 runnable, 0 starting, 30 running, 7 ended',
      'Allocated  0.5 of 8 vCPU, 1 GiB of 16 GiB',
      'Ended      2.0/s in 10 s, 2.0/s in 60 s; 0.0/s started',
    ]);
    expect(lines.find((line) => line.includes('job-3 '))).toMatch(/3 {2}job-3 .* 1m 00s$/);
  });

  it('never has more lines than there is room for, and says what it leaves out', () => {
    for (const height of [12, 20, 24, 50, 200]) {
      const lines = drawScreen(sample, { ...plain, height });
      expect(lines.length).toBeLessThanOrEqual(height);
      const shown = (pattern: RegExp) => lines.filter((line) => pattern.test(line)).length;
      const left = (noun: string) => Number(lines.join('\n').match(new RegExp(`and (\\d+) more ${noun}`))?.[1] ?? 0);
      expect(shown(/^n\d+ /) + left('node')).toBe(40);
      expect(shown(/ job-\d+ /) + left('running job')).toBe(30);
    }
    expect(drawScreen(sample, { ...plain, height: Number.POSITIVE_INFINITY })).toHaveLength(3 + 1 + 41 + 1 + 31);
  });
});

describe('galley top', () => {
  let fake: FakeControlPlane;
  let looks: number;
  beforeEach(async () => {
    looks = 0;
    fake = await startFakeControlPlane();
    fake.on(AdminService, {
      getClusterStatus: () => ({ liveJobs: { running: 1n }, endedJobs: BigInt(++looks), nodes: 1, readyNodes: 1 }),
    });
    fake.on(NodeService, { listNodes: () => ({ nodes: [{ name: 'n1', state: NodeState.READY }] }) });
    fake.on(JobService, {
      listJobs: () => ({ jobs: [{ number: 4n, jobName: 'bake', state: JobState.RUNNING, startedAtMs: 1n }] }),
    });
    fake.on(EventService, {
      async *subscribeEvents(_, { signal }) {
        yield { position: { epoch: 1n, sequence: 1n } };
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
      },
    });
  });
  afterEach(() => fake.stop());
  const env = () => ({ GALLEY_ADDRESS: fake.address, GALLEY_TOKEN: 't' });

  it('prints once where there is no terminal, and values as JSON', async () => {
    const { code, stdout } = await cli(['top'], { env: env() });
    expect(code).toBe(0);
    expect(stdout).toMatch(/1 of 1 node ready\nJobs .*1 running.*\n/);
    expect(stdout).toContain('bake');
    expect(stdout).not.toContain('\u001b');
    expect(JSON.parse((await cli(['top', '--json'], { env: env() })).stdout)).toMatchObject({
      nodes: [{ name: 'n1' }],
    });
  });

  it('draws again and again on a terminal, and leaves it as it was on Ctrl-C', async () => {
    const signals = new EventEmitter();
    const { code, stdout } = await cli(['top', '--interval', '200ms'], {
      env: env(),
      terminal: { columns: 80, rows: 24 },
      signals,
      onOutput: (text) => text.includes('3 ended') && setImmediate(() => signals.emit('SIGINT')),
    });
    expect(code).toBe(130);
    expect(stdout.startsWith('\u001b[?1049h')).toBe(true);
    expect(stdout.trimEnd().endsWith('\u001b[?1049l')).toBe(true);
    for (const look of ['1 ended', '2 ended', '3 ended']) expect(stdout).toContain(look);
  });
});
