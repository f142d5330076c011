import { existsSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { detectHierarchies } from '@galley/agent/cgroup/detect.ts';
import { eventually } from './wait.ts';

// What a killed agent leaves behind on purpose (supervisors, jobs, control groups) must not outlive a test.

/** The directories, one per hierarchy, of the agents' own control groups, which carry the start of their incarnation. */
export function groupDirectories(incarnation: string): string[] {
  const { v1, v2 } = detectHierarchies();
  const mounts = [...v1.values(), ...(v2 === undefined ? [] : [v2])];
  const paths = mounts.map(({ directory, own }) => join(directory, own, `galley-${incarnation.slice(0, 8)}`));
  return [...new Set(paths)].filter((path) => existsSync(path));
}

/** Every process in those groups. */
export function processesIn(directories: readonly string[]): number[] {
  const pids = new Set<number>();
  for (const directory of directories) {
    for (const leaf of [directory, ...leavesOf(directory)]) {
      for (const pid of read(join(leaf, 'cgroup.procs')).split('\n')) if (pid !== '') pids.add(Number(pid));
    }
  }
  return [...pids];
}

/** Processes whose command line or environment names `base`: commands, servers, agents, launchers, supervisors. */
export function processesOf(base: string): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => pid !== process.pid && (names(pid, 'cmdline', base) || names(pid, 'environ', base)))
    .filter((pid) => !isZombie(pid));
}

function names(pid: number, file: 'cmdline' | 'environ', base: string): boolean {
  return read(`/proc/${pid}/${file}`).includes(base);
}

/** Kills what is left of a test, removes its control groups, and says what does not go away. */
export async function clearLeftovers(base: string): Promise<void> {
  const groups = incarnationsBelow(base).flatMap(groupDirectories);
  await eventually(`nothing of ${base} runs any more`, () => {
    const left = [...processesOf(base), ...processesIn(groups)];
    for (const pid of left) killQuietly(pid);
    return left.length === 0;
  });
  await eventually(`the control groups of ${base} are gone`, () => groups.every((group) => removeGroup(group)));
}

/** Of every agent that has kept its state below `base`, from the record with which its journal begins. */
function incarnationsBelow(base: string): string[] {
  const journals = readdirSync(base, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name === 'journal')
    .map(({ parentPath, name }) => read(join(parentPath, name)));
  return journals.flatMap((text) => /"incarnation":"([0-9a-f-]{36})"/.exec(text)?.[1] ?? []);
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended first.
  }
}

function removeGroup(directory: string): boolean {
  if (!existsSync(directory)) return true;
  try {
    for (const leaf of leavesOf(directory)) rmdirSync(leaf);
    rmdirSync(directory);
    return true;
  } catch {
    return false;
  }
}

function leavesOf(directory: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => join(directory, name));
}

function isZombie(pid: number): boolean {
  return /^State:\s+[ZX]/m.test(read(`/proc/${pid}/status`));
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
