import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import type { BenchOptions } from './options.ts';
import { summariseProfiles } from './report/profile.ts';
import { CANARY, stallRows } from './stalls.ts';
import { rounded } from './stats.ts';
import { ProbedProcess } from './system/probed-process.ts';
import { type Bench, type BenchReport, type Document, FORMAT } from './types.ts';

const MEBIBYTE = 1024 * 1024;

/** Runs the benchmarks one after another. Rejects with the first that cannot be run. */
export async function runBenches(options: BenchOptions, say: (text: string) => void): Promise<Document> {
  const startedAt = new Date().toISOString();
  const from = performance.now();
  const benches: BenchReport[] = [];
  for (const bench of options.benches) {
    say(bench.name);
    benches.push(await runOne(bench, options, (text) => say(`${bench.name}: ${text}`)));
  }
  return {
    format: FORMAT,
    startedAt,
    seconds: rounded((performance.now() - from) / 1000),
    quick: options.quick,
    host: {
      node: process.version,
      cpus: availableParallelism(),
      cpuModel: cpus()[0]?.model ?? '',
      memoryMiB: Math.round(totalmem() / MEBIBYTE),
      kernel: release(),
    },
    benches,
    stalls: stallRows(benches),
  };
}

async function runOne(bench: Bench, options: BenchOptions, say: (text: string) => void): Promise<BenchReport> {
  const from = performance.now();
  const directory = mkdtempSync(join(realpathSync(options.directory), 'galley-bench-'));
  // Jobs run as somebody else, and must get through.
  chmodSync(directory, 0o755);
  const profiles = options.profile ? join(directory, 'profiles') : undefined;
  if (profiles !== undefined) mkdirSync(profiles);
  const canary = new ProbedProcess('the canary', ['-e', 'setInterval(() => undefined, 2 ** 30)']);
  try {
    await canary.begin(false);
    const findings = await bench.run({ directory, quick: options.quick, profiles, say });
    const processes = { ...findings.processes, [CANARY]: await canary.end() };
    return {
      name: bench.name,
      seconds: rounded((performance.now() - from) / 1000),
      ...findings,
      processes,
      profiles: profiles === undefined ? {} : summariseProfiles(profiles),
    };
  } finally {
    await canary.stop();
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  }
}
