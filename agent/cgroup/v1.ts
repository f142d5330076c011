import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Counters, Hierarchy, Leaf, LeafRecord, LimitReport, Limits } from './cgroup.ts';
import { CgroupError, ENFORCED } from './cgroup.ts';
import type { Mount } from './detect.ts';
import {
  makeDirectory,
  readControl,
  readKeyed,
  readNumber,
  readProcesses,
  removeDirectory,
  setLimit,
  signalQuietly,
  writeControl,
  writeControlApart,
} from './files.ts';

const CPU_PERIOD_US = 100_000;
/** The kernel refuses a quota below 1 ms a period. */
const MINIMUM_QUOTA_US = 1_000;
/**
 * What an emptied leaf may keep charged. Giving it back waits for work on every CPU (4 ms on a busy machine), and the
 * next attempt loses nothing by it: it is page cache, which the kernel takes first when the limit is near. The outcome
 * subtracts it from the peak.
 */
const RESIDUE_BYTES = 4 * 1024 * 1024;

class LeafV1 implements Leaf {
  readonly record: LeafRecord;
  readonly enterFiles: readonly string[];
  readonly #roster: string;
  readonly #directories: Readonly<Record<string, string>>;
  /** What stands in the kernel, so that a reused leaf writes only what differs. */
  #set: { cpu?: number; pids?: number; memory?: number; memoryAndSwap?: number } = {};

  constructor(record: LeafRecord) {
    this.record = record;
    this.#directories = record.directories;
    const unique = [...new Set(Object.values(record.directories))];
    // `tasks` and not `cgroup.procs`: a single thread that moves itself needs no thread-group lock of the kernel,
    // and whoever enters has one thread only.
    this.enterFiles = unique.map((directory) => join(directory, 'tasks'));
    this.#roster = join(unique[0] ?? '', 'cgroup.procs');
  }

  configure(limits: Limits): void {
    const { cpu, memory, pids } = this.#directories;
    if (cpu !== undefined) {
      const quota = Math.max(MINIMUM_QUOTA_US, Math.round((limits.milliVcpu * CPU_PERIOD_US) / 1000));
      if (this.#set.cpu !== quota) setLimit(join(cpu, 'cpu.cfs_quota_us'), quota);
      this.#set.cpu = quota;
    }
    if (pids !== undefined) {
      if (this.#set.pids !== limits.pids) setLimit(join(pids, 'pids.max'), limits.pids);
      this.#set.pids = limits.pids;
    }
    if (memory !== undefined) this.#configureMemory(memory, limits);
  }

  /** Memory must never stand above memory and swap together, so the order of the two writes depends on the direction. */
  #configureMemory(directory: string, limits: Limits): void {
    const memory = limits.memoryBytes;
    const both = memory + limits.swapBytes;
    if (this.#set.memory === memory && this.#set.memoryAndSwap === both) return;
    const previous = this.#set.memoryAndSwap ?? Number.POSITIVE_INFINITY;
    const bothFile = join(directory, 'memory.memsw.limit_in_bytes');
    const swapCounted = existsSync(bothFile);
    if (swapCounted && both > previous) setLimit(bothFile, both);
    setLimit(join(directory, 'memory.limit_in_bytes'), memory);
    if (swapCounted && both <= previous) setLimit(bothFile, both);
    this.#set.memory = memory;
    this.#set.memoryAndSwap = both;
  }

  processes(): number[] {
    return readProcesses(this.#roster);
  }

  kill(): void {
    const { pids } = this.#directories;
    if (pids !== undefined) {
      // With no room for another process a fork bomb cannot outrun the loop that kills it.
      writeControl(join(pids, 'pids.max'), 0);
      delete this.#set.pids;
    }
    for (const pid of this.processes()) signalQuietly(pid, 'SIGKILL');
  }

  counters(): Counters {
    const { memory, cpuacct, pids } = this.#directories;
    const nanoseconds = cpuacct === undefined ? undefined : readNumber(join(cpuacct, 'cpuacct.usage'));
    const peak = memory === undefined ? undefined : readNumber(join(memory, 'memory.max_usage_in_bytes'));
    const now = memory === undefined ? undefined : readNumber(join(memory, 'memory.usage_in_bytes'));
    const processes = pids === undefined ? undefined : readNumber(join(pids, 'pids.current'));
    return {
      oomKills: memory === undefined ? 0 : (readKeyed(join(memory, 'memory.oom_control'), 'oom_kill') ?? 0),
      ...(nanoseconds === undefined ? {} : { cpuTimeUs: Math.round(nanoseconds / 1000) }),
      ...(peak === undefined ? {} : { peakMemoryBytes: peak }),
      ...(now === undefined ? {} : { memoryBytes: now }),
      ...(processes === undefined ? {} : { processes }),
    };
  }

  async recycle(): Promise<boolean> {
    const { memory, pids } = this.#directories;
    if (this.processes().length > 0) return false;
    // Zombies count until somebody collects them: a leaf with such a rest would bound the next attempt too low.
    if (pids !== undefined && (readNumber(join(pids, 'pids.current')) ?? 0) > 0) return false;
    if (memory === undefined) return true;
    const charged = (): number => readNumber(join(memory, 'memory.usage_in_bytes')) ?? 0;
    try {
      if (charged() > RESIDUE_BYTES) {
        await writeControlApart(join(memory, 'memory.force_empty'), 0);
        if (charged() > RESIDUE_BYTES) return false;
      }
      writeControl(join(memory, 'memory.max_usage_in_bytes'), 0);
      return true;
    } catch {
      return false;
    }
  }

  remove(): boolean {
    let gone = true;
    for (const directory of new Set(Object.values(this.#directories))) gone = removeDirectory(directory) && gone;
    return gone;
  }
}

class HierarchyV1 implements Hierarchy {
  readonly version = 1;
  readonly limits: LimitReport;
  readonly #roots: ReadonlyMap<string, string>;

  constructor(roots: ReadonlyMap<string, string>, limits: LimitReport) {
    this.#roots = roots;
    this.limits = limits;
  }

  create(name: string): Leaf {
    const directories: Record<string, string> = {};
    for (const [controller, root] of this.#roots) {
      const directory = join(root, name);
      makeDirectory(directory);
      directories[controller] = directory;
    }
    return new LeafV1({ version: 1, name, directories });
  }

  open(record: LeafRecord): Leaf {
    return new LeafV1(record);
  }

  owns({ name, directories }: LeafRecord): boolean {
    const roots = [...this.#roots];
    return (
      Object.keys(directories).length === roots.length &&
      roots.every(([controller, root]) => directories[controller] === join(root, name))
    );
  }

  list(): string[] {
    const names = new Set<string>();
    for (const root of this.#roots.values()) {
      for (const entry of readdirSync(root, { withFileTypes: true })) if (entry.isDirectory()) names.add(entry.name);
    }
    return [...names];
  }

  remove(): boolean {
    let gone = true;
    for (const root of new Set(this.#roots.values())) gone = removeDirectory(root) && gone;
    return gone;
  }
}

function swapLimit(memory: string): string {
  return readControl(join(memory, 'memory.memsw.limit_in_bytes')) !== undefined
    ? ENFORCED
    : 'unavailable: the kernel does not account swap (boot with swapaccount=1)';
}

/**
 * Opens the agent's own group, named `group`, in every v1 hierarchy that is there and writable, below the control
 * group that the agent itself sits in, so that whatever bounds the agent's host or container bounds the jobs too.
 * Undefined when no controller can be used; the report then says why.
 */
export function openV1(
  mounts: ReadonlyMap<string, Mount>,
  group: string,
): { hierarchy?: Hierarchy; limits: LimitReport } {
  const roots = new Map<string, string>();
  const refused = new Map<string, string>();
  for (const controller of ['memory', 'cpu', 'pids', 'cpuacct']) {
    const mount = mounts.get(controller);
    if (mount === undefined) {
      refused.set(controller, `unavailable: no ${controller} controller is mounted`);
      continue;
    }
    const root = join(mount.directory, mount.own, group);
    try {
      makeDirectory(root);
      roots.set(controller, root);
    } catch (error) {
      const reason = error instanceof CgroupError ? error.message : String(error);
      refused.set(controller, `unavailable: ${reason}`);
    }
  }
  const memory = roots.get('memory') ?? '';
  const limits: LimitReport = {
    cpu: refused.get('cpu') ?? ENFORCED,
    memory: refused.get('memory') ?? ENFORCED,
    pids: refused.get('pids') ?? ENFORCED,
    swap: refused.get('memory') ?? swapLimit(memory),
  };
  return roots.size === 0 ? { limits } : { hierarchy: new HierarchyV1(roots, limits), limits };
}
