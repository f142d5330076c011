import { readdirSync, readFileSync } from 'node:fs';
import type { Leaf } from '../cgroup/cgroup.ts';
import { signalQuietly } from '../cgroup/files.ts';
import { readProcess } from '../launcher/records.ts';

/** Marks a job's processes where no control group holds them together. */
export const MARKER_VARIABLE = 'GALLEY_PROCESS_KEY';

/** Everything that belongs to one attempt, whatever holds it together. */
export interface ProcessGroup {
  processes(): number[];
  /** SIGKILL once to everything that is there now. */
  kill(): void;
}

export function leafGroup(leaf: Leaf): ProcessGroup {
  return { processes: () => leaf.processes(), kill: () => leaf.kill() };
}

function marked(pid: number, key: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(`${MARKER_VARIABLE}=${key}`);
  } catch {
    return false;
  }
}

/**
 * Without control groups: the job's session, and what left it but still carries the marker in its environment.
 * A process that removes both is not found; such a node says so in its limits.
 *
 * @param sessionPid the job's first process, which leads its session; undefined before there is one.
 */
export function sessionGroup(key: string, sessionPid: () => number | undefined): ProcessGroup {
  const processes = (): number[] => {
    const session = sessionPid();
    const found: number[] = [];
    for (const entry of readdirSync('/proc')) {
      const pid = Number(entry);
      if (!Number.isInteger(pid)) continue;
      const stat = readProcess(pid);
      if (stat === undefined) continue;
      if (pid === session || (session !== undefined && stat.session === session) || marked(pid, key)) found.push(pid);
    }
    return found;
  };
  return {
    processes,
    kill: () => {
      // Stopped first, so that nothing forks between being seen and being killed.
      const found = processes();
      for (const pid of found) signalQuietly(pid, 'SIGSTOP');
      for (const pid of found) signalQuietly(pid, 'SIGKILL');
    },
  };
}

/** A process hangs in the kernel (a dead disk, a frozen mount) when it outlives SIGKILL by this. */
export const KILL_DEADLINE_MS = 10_000;
const FIRST_LOOK_MS = 1;
const LONGEST_LOOK_MS = 100;

/** Kills until nothing is left; false when something outlives the deadline. */
export async function killUntilEmpty(group: ProcessGroup, deadlineMs = KILL_DEADLINE_MS): Promise<boolean> {
  const until = performance.now() + deadlineMs;
  let pause = FIRST_LOOK_MS;
  while (group.processes().length > 0) {
    if (performance.now() > until) return false;
    group.kill();
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(pause * 2, LONGEST_LOOK_MS);
  }
  return true;
}
