/**
 * Limits of one attempt, as the kernel takes them.
 *
 * - `milliVcpu`: thousandths of a CPU, enforced as a quota (fractions allowed; the kernel's floor is 10).
 * - `memoryBytes`: hard limit; reaching it kills inside the leaf.
 * - `swapBytes`: swap beyond the memory limit; 0 means none.
 * - `pids`: processes and threads together.
 */
export interface Limits {
  readonly milliVcpu: number;
  readonly memoryBytes: number;
  readonly swapBytes: number;
  readonly pids: number;
}

/** The default bound on processes and threads of one attempt, for a job that asks for none. */
export const DEFAULT_PIDS = 4096;

/** What is enforced on this node; anything but `enforced` starts with `unavailable: ` and says why. */
export interface LimitReport {
  readonly cpu: string;
  readonly memory: string;
  readonly swap: string;
  readonly pids: string;
}

export const ENFORCED = 'enforced';

/** What the kernel has counted in a leaf since it was created. An absent member is one that this kernel does not count. */
export interface Counters {
  readonly oomKills: number;
  readonly cpuTimeUs?: number;
  /** The highest charge since the leaf was recycled, page cache included. */
  readonly peakMemoryBytes?: number;
  readonly memoryBytes?: number;
  readonly processes?: number;
}

/** Enough to find a leaf again after a restart of the agent: plain data, kept beside the attempt. */
export interface LeafRecord {
  readonly version: 1 | 2;
  readonly name: string;
  /** Absolute directories, by controller; v2 has one, named `unified`. */
  readonly directories: Readonly<Record<string, string>>;
}

/** A control group that holds one attempt at a time, in as many hierarchies as the system has. */
export interface Leaf {
  readonly record: LeafRecord;
  /** A process that writes `0` into each of these, in this order, is inside. The first one is where `processes` looks. */
  readonly enterFiles: readonly string[];
  /** Sets the limits; throws {@link CgroupError} when the kernel refuses one. */
  configure(limits: Limits): void;
  /** Process ids inside, zombies excluded. */
  processes(): number[];
  /** Sends SIGKILL once to everything inside and stops it from forking; the caller repeats until `processes` is empty. */
  kill(): void;
  counters(): Counters;
  /** Makes an empty leaf ready for another attempt: page cache given back, peaks reset. False: it cannot be reused. */
  recycle(): Promise<boolean>;
  /** Removes the directories; false while something is still inside. */
  remove(): boolean;
}

/** One version of control groups on this node, rooted in a directory of the agent's own. */
export interface Hierarchy {
  readonly version: 1 | 2;
  readonly limits: LimitReport;
  /** Creates the leaf, or opens the one that stands. */
  create(name: string): Leaf;
  open(record: LeafRecord): Leaf;
  /** False for a leaf that was made when the agent ran elsewhere in the tree. */
  owns(record: LeafRecord): boolean;
  /** Names of the leaves that exist below the root. */
  list(): string[];
  /** Removes the root itself; false while leaves are left. */
  remove(): boolean;
}

export type CgroupErrorCode = 'limit_refused' | 'not_creatable' | 'pool_exhausted';

/** A fault of the node's control groups; `code` is what to switch on. */
export class CgroupError extends Error {
  readonly code: CgroupErrorCode;

  constructor(code: CgroupErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'CgroupError';
    this.code = code;
  }
}
