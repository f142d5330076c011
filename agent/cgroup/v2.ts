import { accessSync, constants, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Counters, Hierarchy, Leaf, LeafRecord, LimitReport, Limits } from './cgroup.ts';
import { CgroupError, ENFORCED } from './cgroup.ts';
import type { Mount } from './detect.ts';
import {
  errorCode,
  makeDirectory,
  readControl,
  readKeyed,
  readNumber,
  readProcesses,
  removeDirectory,
  setLimit,
  signalQuietly,
  writeControl,
} from './files.ts';

const CPU_PERIOD_US = 100_000;
const MINIMUM_QUOTA_US = 1_000;
const CONTROLLERS = ['cpu', 'memory', 'pids'] as const;

class LeafV2 implements Leaf {
  readonly record: LeafRecord;
  readonly enterFiles: readonly string[];
  readonly #directory: string;

  constructor(record: LeafRecord) {
    this.record = record;
    this.#directory = record.directories['unified'] ?? '';
    // A move between domains is one of whole processes on v2: `cgroup.threads` would be refused.
    this.enterFiles = [join(this.#directory, 'cgroup.procs')];
  }

  configure(limits: Limits): void {
    const quota = Math.max(MINIMUM_QUOTA_US, Math.round((limits.milliVcpu * CPU_PERIOD_US) / 1000));
    this.#set('cpu.max', `${quota} ${CPU_PERIOD_US}`);
    this.#set('pids.max', limits.pids);
    this.#set('memory.swap.max', limits.swapBytes);
    this.#set('memory.max', limits.memoryBytes);
  }

  /** A file that is absent belongs to a controller that the report already calls unavailable. */
  #set(file: string, value: string | number): void {
    const path = join(this.#directory, file);
    if (existsSync(path)) setLimit(path, value);
  }

  processes(): number[] {
    return readProcesses(join(this.#directory, 'cgroup.procs'));
  }

  kill(): void {
    const kill = join(this.#directory, 'cgroup.kill');
    if (existsSync(kill)) {
      writeControl(kill, 1);
      return;
    }
    // Kernels before 5.14: no room for another process, then one signal each.
    const pids = join(this.#directory, 'pids.max');
    if (existsSync(pids)) writeControl(pids, 0);
    for (const pid of this.processes()) signalQuietly(pid, 'SIGKILL');
  }

  counters(): Counters {
    const cpu = readKeyed(join(this.#directory, 'cpu.stat'), 'usage_usec');
    const peak = readNumber(join(this.#directory, 'memory.peak'));
    const now = readNumber(join(this.#directory, 'memory.current'));
    const processes = readNumber(join(this.#directory, 'pids.current'));
    return {
      oomKills: readKeyed(join(this.#directory, 'memory.events'), 'oom_kill') ?? 0,
      ...(cpu === undefined ? {} : { cpuTimeUs: cpu }),
      ...(peak === undefined ? {} : { peakMemoryBytes: peak }),
      ...(now === undefined ? {} : { memoryBytes: now }),
      ...(processes === undefined ? {} : { processes }),
    };
  }

  /**
   * `memory.peak` cannot be reset before kernel 6.12, and what stays charged to a removed group passes to its parent:
   * a fresh directory is the reset, and on v2 it is one mkdir.
   */
  recycle(): Promise<boolean> {
    if (this.processes().length > 0 || !this.remove()) return Promise.resolve(false);
    try {
      makeDirectory(this.#directory);
      return Promise.resolve(true);
    } catch {
      return Promise.resolve(false);
    }
  }

  remove(): boolean {
    return removeDirectory(this.#directory);
  }
}

/** Leaves below `root`, which must hand on the controllers that `limits` calls enforced; see {@link openV2}. */
export class HierarchyV2 implements Hierarchy {
  readonly version = 2;
  readonly limits: LimitReport;
  readonly #root: string;

  constructor(root: string, limits: LimitReport) {
    this.#root = root;
    this.limits = limits;
  }

  create(name: string): Leaf {
    const directory = join(this.#root, name);
    makeDirectory(directory);
    return new LeafV2({ version: 2, name, directories: { unified: directory } });
  }

  open(record: LeafRecord): Leaf {
    return new LeafV2(record);
  }

  owns({ name, directories }: LeafRecord): boolean {
    return directories['unified'] === join(this.#root, name);
  }

  list(): string[] {
    return readdirSync(this.#root, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  }

  remove(): boolean {
    return removeDirectory(this.#root);
  }
}

function controllersOf(directory: string, file: 'cgroup.controllers' | 'cgroup.subtree_control'): string[] {
  return (readControl(join(directory, file)) ?? '').trim().split(' ').filter(Boolean);
}

/** Hands a controller on to the children; the reason when the kernel does not let us. */
function enable(directory: string, controller: string): string | undefined {
  if (controllersOf(directory, 'cgroup.subtree_control').includes(controller)) return undefined;
  if (!controllersOf(directory, 'cgroup.controllers').includes(controller)) {
    return `unavailable: the ${controller} controller is not delegated to ${directory}`;
  }
  try {
    writeControl(join(directory, 'cgroup.subtree_control'), `+${controller}`);
    return undefined;
  } catch (error) {
    return `unavailable: ${directory} does not hand on the ${controller} controller (${errorCode(error)})`;
  }
}

/** A group that distributes controllers may hold no process of its own, so the agent moves into a child of it. */
function vacate(directory: string): void {
  const home = join(directory, 'agent');
  for (const pid of readProcesses(join(directory, 'cgroup.procs'))) {
    makeDirectory(home);
    try {
      writeControl(join(home, 'cgroup.procs'), pid);
    } catch {
      // Ended meanwhile, or not ours to move: then the controllers below say that they are not handed on.
    }
  }
}

/**
 * Opens the agent's own group, named `group`, on v2. Root outside of a container hangs it below the root of the
 * tree; anybody else needs a delegated subtree, which is the control group that the agent was started in
 * (systemd: `Delegate=yes`, and `KillMode=process`, or a restart of the service takes supervisors and jobs with it).
 * Undefined when not one controller can be had.
 */
export function openV2(mount: Mount, group: string, root: boolean): { hierarchy?: Hierarchy; limits: LimitReport } {
  const own = join(mount.directory, mount.own);
  // The root of the real tree has no cgroup.events: only there may processes and controllers be side by side.
  const parent = root && !existsSync(join(mount.directory, 'cgroup.events')) ? mount.directory : own;
  const unavailable = (reason: string): { limits: LimitReport } => ({
    limits: { cpu: reason, memory: reason, pids: reason, swap: reason },
  });
  try {
    accessSync(parent, constants.W_OK);
    accessSync(join(parent, 'cgroup.procs'), constants.W_OK);
  } catch (error) {
    return unavailable(`unavailable: ${parent} is not delegated to this user (${errorCode(error)})`);
  }
  const directory = join(parent, group);
  const refused = new Map<string, string>();
  try {
    if (parent !== mount.directory) vacate(parent);
    for (const controller of CONTROLLERS) {
      const reason = enable(parent, controller);
      if (reason !== undefined) refused.set(controller, reason);
    }
    makeDirectory(directory);
    for (const controller of CONTROLLERS) {
      if (refused.has(controller)) continue;
      const reason = enable(directory, controller);
      if (reason !== undefined) refused.set(controller, reason);
    }
  } catch (error) {
    return unavailable(`unavailable: ${error instanceof CgroupError ? error.message : errorCode(error)}`);
  }
  const memory = refused.get('memory') ?? ENFORCED;
  const limits: LimitReport = {
    cpu: refused.get('cpu') ?? ENFORCED,
    memory,
    pids: refused.get('pids') ?? ENFORCED,
    swap: memory === ENFORCED ? swapLimit(directory) : memory,
  };
  if (refused.size === CONTROLLERS.length) {
    removeDirectory(directory);
    return { limits };
  }
  return { hierarchy: new HierarchyV2(directory, limits), limits };
}

function swapLimit(directory: string): string {
  const probe = join(directory, 'probe');
  makeDirectory(probe);
  const present = existsSync(join(probe, 'memory.swap.max'));
  removeDirectory(probe);
  return present ? ENFORCED : 'unavailable: the kernel does not account swap (boot with swapaccount=1)';
}
