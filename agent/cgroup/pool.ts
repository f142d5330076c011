import type { Hierarchy, Leaf, LeafRecord } from './cgroup.ts';
import { CgroupError } from './cgroup.ts';

/** Leaves made ahead at start, so that the first jobs need not wait for directories. */
export const LEAVES_AHEAD = 8;
/** More attempts than this at once on one node are refused. */
export const MAXIMUM_LEAVES = 8192;
/** Idle leaves that are kept; what a burst made beyond it is removed again. */
const MAXIMUM_IDLE = 256;

/**
 * Control groups used over and over: creating, entering and removing one for each job costs several times the job's
 * own creation. A leaf is in one of three places: idle (empty and reset), lent (to one attempt), or quarantined
 * (something in it does not die: `retryQuarantined` looks again, and until then nobody gets it).
 */
export class LeafPool {
  readonly #hierarchy: Hierarchy;
  readonly #idle: Leaf[] = [];
  readonly #lent = new Map<string, Leaf>();
  readonly #quarantined = new Map<string, Leaf>();
  #next = 1;
  /** One at a time: giving back page cache may take long, and must not take all of the process's file threads. */
  #recycling: Promise<void> = Promise.resolve();

  constructor(hierarchy: Hierarchy) {
    this.#hierarchy = hierarchy;
  }

  get counts(): { idle: number; lent: number; quarantined: number } {
    return { idle: this.#idle.length, lent: this.#lent.size, quarantined: this.#quarantined.size };
  }

  /** Takes over what an earlier agent left: `inUse` belong to attempts, everything else is emptied and reused. */
  async recover(inUse: readonly LeafRecord[]): Promise<Leaf[]> {
    const adopted = inUse.map((record) => this.#hierarchy.open(record));
    const names = new Set(inUse.map((record) => record.name));
    for (const leaf of adopted) this.#lent.set(key(leaf), leaf);
    for (const name of this.#hierarchy.list()) {
      this.#next = Math.max(this.#next, Number(/^slot-(\d+)$/.exec(name)?.[1] ?? 0) + 1);
      if (names.has(name)) continue;
      const leaf = this.#hierarchy.create(name);
      leaf.kill();
      await this.#recycle(leaf);
    }
    while (this.#idle.length < LEAVES_AHEAD) this.#idle.push(this.#create());
    return adopted;
  }

  /** Lends a leaf: empty, peaks reset, limits those of whoever had it before. */
  acquire(): Leaf {
    if (this.#lent.size >= MAXIMUM_LEAVES) {
      throw new CgroupError('pool_exhausted', `${MAXIMUM_LEAVES} attempts hold a control group already`);
    }
    const leaf = this.#idle.pop() ?? this.#create();
    this.#lent.set(key(leaf), leaf);
    return leaf;
  }

  /** Takes a leaf back; one that is not empty goes into quarantine. */
  async release(leaf: Leaf): Promise<void> {
    if (this.#lent.delete(key(leaf))) await this.#recycle(leaf);
  }

  /** Kills what is left in quarantined leaves and takes back those that are empty by now. */
  async retryQuarantined(): Promise<void> {
    for (const [name, leaf] of Array.from(this.#quarantined)) {
      leaf.kill();
      if (leaf.processes().length > 0) continue;
      this.#quarantined.delete(name);
      await this.#recycle(leaf);
    }
  }

  /** Removes every leaf that nobody uses, and the group when it is empty. */
  close(): void {
    for (const leaf of this.#idle.splice(0)) leaf.remove();
    for (const [name, leaf] of Array.from(this.#quarantined)) if (leaf.remove()) this.#quarantined.delete(name);
    if (this.#lent.size + this.#quarantined.size === 0) this.#hierarchy.remove();
  }

  #recycle(leaf: Leaf): Promise<void> {
    this.#recycling = this.#recycling.then(() => this.#recycleNow(leaf));
    return this.#recycling;
  }

  async #recycleNow(leaf: Leaf): Promise<void> {
    if (leaf.processes().length > 0) {
      this.#quarantined.set(key(leaf), leaf);
    } else if (!this.#hierarchy.owns(leaf.record) || this.#idle.length >= MAXIMUM_IDLE) {
      leaf.remove();
    } else if (await leaf.recycle()) {
      this.#idle.push(leaf);
    } else {
      this.#quarantined.set(key(leaf), leaf);
    }
  }

  #create(): Leaf {
    return this.#hierarchy.create(`slot-${this.#next++}`);
  }
}

function key(leaf: Leaf): string {
  return Object.values(leaf.record.directories).join('\n');
}
