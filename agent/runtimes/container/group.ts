import { readdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Hierarchies } from '../../cgroup/detect.ts';
import { readControl, readKeyed, readNumber } from '../../cgroup/files.ts';

/** What is counted of one container, as far as this node counts it. */
export interface GroupCounters {
  readonly memoryBytes?: number;
  readonly peakMemoryBytes?: number;
  readonly cpuTimeUs?: number;
  readonly processes?: number;
  /** v2 only: there the group around a container counts what is killed inside. */
  readonly oomKills?: number;
}

/** Where a container's control groups are: directories by controller, `unified` for v2. */
export type GroupDirectories = ReadonlyMap<string, string>;

export function readCounters(directories: GroupDirectories): GroupCounters {
  const unified = directories.get('unified');
  const at = (controller: string, file: string) => join(directories.get(controller) ?? '/nowhere', file);
  const nanoseconds = readNumber(at('cpuacct', 'cpuacct.usage'));
  return unified !== undefined
    ? defined({
        memoryBytes: readNumber(join(unified, 'memory.current')),
        peakMemoryBytes: readNumber(join(unified, 'memory.peak')),
        cpuTimeUs: readKeyed(join(unified, 'cpu.stat'), 'usage_usec'),
        processes: readNumber(join(unified, 'pids.current')),
        oomKills: readKeyed(join(unified, 'memory.events'), 'oom_kill'),
      })
    : defined({
        memoryBytes: readNumber(at('memory', 'memory.usage_in_bytes')),
        peakMemoryBytes: readNumber(at('memory', 'memory.max_usage_in_bytes')),
        cpuTimeUs: nanoseconds === undefined ? undefined : Math.round(nanoseconds / 1000),
        processes: readNumber(at('pids', 'pids.current')),
      });
}

/** Later samples win; the peak is the highest that was seen. */
export function mergeCounters(before: GroupCounters, now: GroupCounters): GroupCounters {
  const peak = Math.max(
    before.peakMemoryBytes ?? 0,
    now.peakMemoryBytes ?? 0,
    before.memoryBytes ?? 0,
    now.memoryBytes ?? 0,
  );
  return { ...before, ...now, ...(peak > 0 ? { peakMemoryBytes: peak } : {}) };
}

/**
 * Groups of our own around containers, one for each attempt: what they counted can still be read when the container's own is
 * gone. Engines that leave control groups to systemd do not take one; then the container's own group is sampled.
 */
export class ContainerGroups {
  readonly #hierarchies: Hierarchies;
  /** As the engine is told: from the root of every hierarchy. */
  readonly #parent: string;

  constructor(hierarchies: Hierarchies, name: string) {
    this.#hierarchies = hierarchies;
    const own = new Set(Array.from(this.#mounts().values(), (mount) => mount.own));
    // One path has to serve for every hierarchy: the agent's own place where that is the same in all of them.
    const [place = '/'] = own.size === 1 ? own : ['/'];
    this.#parent = join(place, name);
  }

  /** What a container is created with. */
  parentOf(key: string): string {
    return join(this.#parent, key);
  }

  of(parent: string): GroupDirectories {
    return new Map(Array.from(this.#mounts(), ([controller, { directory }]) => [controller, join(directory, parent)]));
  }

  /** Where a process is, whoever put it there; undefined when it is gone. */
  ofProcess(pid: number): GroupDirectories | undefined {
    const text = readControl(`/proc/${pid}/cgroup`);
    if (text === undefined) return undefined;
    const mounts = this.#mounts();
    const found = new Map<string, string>();
    for (const line of text.split('\n')) {
      const match = /^\d+:([^:]*):(.*)$/.exec(line);
      if (match === null) continue;
      const controllers = match[1] === '' ? ['unified'] : (match[1] ?? '').split(',');
      for (const controller of controllers) {
        const mount = mounts.get(controller);
        if (mount !== undefined) found.set(controller, join(mount.directory, match[2] ?? ''));
      }
    }
    return found;
  }

  remove(parent: string): void {
    for (const controller of this.#everywhere()) removeQuietly(join(controller, parent));
  }

  /** Removes the groups of attempts that are over. */
  removeAllBut(keys: ReadonlySet<string>): void {
    for (const root of this.#everywhere()) {
      const directory = join(root, this.#parent);
      let names: string[];
      try {
        names = readdirSync(directory, { withFileTypes: true }).flatMap((entry) =>
          entry.isDirectory() ? entry.name : [],
        );
      } catch {
        continue;
      }
      for (const name of names) if (!keys.has(name)) removeQuietly(join(directory, name));
    }
  }

  /** The group around them all, once nothing is started any more: an engine may be about to make one inside. */
  removeRoot(): void {
    for (const root of this.#everywhere()) removeQuietly(join(root, this.#parent));
  }

  #mounts(): Map<string, { directory: string; own: string }> {
    const { v1, v2 } = this.#hierarchies;
    if (v1.size > 0 || v2 === undefined) return new Map(v1);
    return new Map([['unified', v2]]);
  }

  /** The engine makes the group in hierarchies that we count nothing in, too: they are mounted side by side. */
  #everywhere(): Set<string> {
    const roots = new Set(Array.from(this.#mounts().values(), ({ directory }) => directory));
    const [first] = roots;
    if (first === undefined || this.#hierarchies.v1.size === 0) return roots;
    const beside = join(first, '..');
    for (const name of readdirSync(beside)) roots.add(join(beside, name));
    return roots;
  }
}

function removeQuietly(directory: string): void {
  try {
    rmdirSync(directory);
  } catch {
    // Not there, or something is still inside: the next clean-up tries again.
  }
}

function defined(counters: { [K in keyof GroupCounters]: GroupCounters[K] | undefined }): GroupCounters {
  return Object.fromEntries(Object.entries(counters).filter(([, value]) => value !== undefined));
}
