/**
 * Real `true` jobs per second through the agent's process runtime: own control group, own session, another user, exit
 * record, output file, leaf reset; beside the floor in the same run, a shell that forks and waits for `true`.
 * `node test/bench/host.ts [jobs] [in flight]`.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openCgroups } from '@galley/agent/cgroup/open.ts';
import { ProcessRuntime } from '@galley/agent/runtimes/process.ts';

const DEFAULT_JOBS = 2_000;
const DEFAULT_IN_FLIGHT = 8;
const MEBIBYTE = 1024 * 1024;

export interface HostFigures {
  readonly jobs: number;
  readonly inFlight: number;
  readonly jobsPerSecond: number;
  /** dash, `true &` and wait, as many at once. */
  readonly floorPerSecond: number;
  /** From `start` to the hint that the first instruction is reached. */
  readonly startMs: { readonly p50: number; readonly p99: number };
  /** The agent's own CPU time for one job. */
  readonly agentCpuUs: number;
}

function shellFloor(jobs: number, inFlight: number): number {
  const script = `n=0; while [ $n -lt ${jobs} ]; do i=0; while [ $i -lt ${inFlight} ]; do /bin/true & i=$((i+1)); done; wait; n=$((n+i)); done`;
  const from = performance.now();
  spawnSync('sh', ['-c', script]);
  return (jobs / (performance.now() - from)) * 1000;
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export async function measureHost(jobs = DEFAULT_JOBS, inFlight = DEFAULT_IN_FLIGHT): Promise<HostFigures> {
  const base = mkdtempSync(join(tmpdir(), 'galley-bench-'));
  const runtime = await ProcessRuntime.open({
    directory: join(base, 'runtime'),
    cgroups: openCgroups(`galley-bench-${process.pid}`),
  });
  await runtime.attach([]);
  const endings = new Map<string, () => void>();
  runtime.on('ended', (key) => endings.get(key)?.());
  const latencies: number[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < jobs) {
      const key = `attempt-${next++}`;
      const directory = join(base, key);
      mkdirSync(directory, { mode: 0o700 });
      const ended = new Promise<void>((resolve) => endings.set(key, resolve));
      const from = performance.now();
      await runtime.start({
        key,
        directory,
        argv: ['true'],
        environment: {},
        limits: { milliVcpu: 1000, memoryBytes: 64 * MEBIBYTE, swapBytes: 0, pids: 64 },
        separateStreams: false,
        stopGraceSeconds: 30,
      });
      latencies.push(performance.now() - from);
      await ended;
      endings.delete(key);
      await runtime.release(key);
    }
  };
  const cpu = process.cpuUsage();
  const from = performance.now();
  await Promise.all(Array.from({ length: inFlight }, worker));
  const seconds = (performance.now() - from) / 1000;
  const used = process.cpuUsage(cpu);
  await runtime.close();
  rmSync(base, { recursive: true, force: true });
  latencies.sort((left, right) => left - right);
  return {
    jobs,
    inFlight,
    jobsPerSecond: Math.round(jobs / seconds),
    floorPerSecond: Math.round(shellFloor(jobs, inFlight)),
    startMs: { p50: quantile(latencies, 0.5), p99: quantile(latencies, 0.99) },
    agentCpuUs: Math.round((used.user + used.system) / jobs),
  };
}

if (import.meta.main) {
  const [jobs, inFlight] = process.argv.slice(2).map(Number);
  console.log(JSON.stringify(await measureHost(jobs, inFlight), null, 2));
}
