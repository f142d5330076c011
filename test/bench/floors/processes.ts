import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SOURCE = fileURLToPath(new URL('./processes.c', import.meta.url));
const TRUE = '/bin/true';

/** The small C program beside this file; undefined where there is no compiler. */
export function compileProcesses(directory: string): string | undefined {
  const program = join(directory, 'processes');
  const { status } = spawnSync('cc', ['-O2', '-o', program, SOURCE], { stdio: 'ignore' });
  return status === 0 && existsSync(program) ? program : undefined;
}

/** `true` per second, started by posix_spawn, so many at once. */
export function spawnLoop(program: string, jobs: number, inFlight: number): number {
  return jobs / Number(run(program, ['spawn', `${jobs}`, `${inFlight}`, TRUE]));
}

/** `true` per second, started by the shell, so many at once. */
export function shellLoop(jobs: number, inFlight: number): number {
  const script = `n=0
    while [ $n -lt ${jobs} ]; do
      i=0
      while [ $i -lt ${inFlight} ]; do ${TRUE} & i=$((i+1)); done
      wait
      n=$((n+i))
    done`;
  const from = performance.now();
  run('sh', ['-c', script]);
  return (jobs / (performance.now() - from)) * 1000;
}

/** From before posix_spawn to the first instruction, in ms, one after another. */
export function firstInstructions(program: string, count: number): number[] {
  return run(program, ['first', `${count}`])
    .trim()
    .split('\n')
    .map((ns) => Number(ns) / 1e6);
}

function run(program: string, words: readonly string[]): string {
  const { status, stdout, error } = spawnSync(program, words, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (status !== 0) throw new Error(`${program} ${words[0]} ended with ${status}`, { cause: error });
  return stdout;
}
