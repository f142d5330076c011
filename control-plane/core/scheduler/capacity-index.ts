import { NONE } from '../tables/job-table.ts';

/**
 * Finds a node with room without looking at every node: a tree over the nodes' free vCPU and memory whose inner places
 * hold the largest of each below them. Updates and most searches cost O(log n).
 */
export class CapacityIndex {
  private leaves = 1;
  private milliVcpu = new Float64Array(2);
  private memoryBytes = new Float64Array(2);
  private used = 0;
  private readonly freeSlots: number[] = [];

  /** A slot of its own for a node, with no room. */
  add(): number {
    const slot = this.freeSlots.pop() ?? this.used++;
    if (slot >= this.leaves) this.grow();
    return slot;
  }

  remove(slot: number): void {
    this.update(slot, 0, 0);
    this.freeSlots.push(slot);
  }

  /** What a slot's node can still take; true when that is more of anything. A node that takes nothing has 0 and 0. */
  update(slot: number, milliVcpu: number, memoryBytes: number): boolean {
    let at = this.leaves + slot;
    const grew = milliVcpu > (this.milliVcpu[at] as number) || memoryBytes > (this.memoryBytes[at] as number);
    if (this.milliVcpu[at] === milliVcpu && this.memoryBytes[at] === memoryBytes) return false;
    this.milliVcpu[at] = milliVcpu;
    this.memoryBytes[at] = memoryBytes;
    for (at >>= 1; at >= 1; at >>= 1) {
      this.milliVcpu[at] = Math.max(this.milliVcpu[2 * at] as number, this.milliVcpu[2 * at + 1] as number);
      this.memoryBytes[at] = Math.max(this.memoryBytes[2 * at] as number, this.memoryBytes[2 * at + 1] as number);
    }
    return grew;
  }

  /** Whether any node may have room: never wrong when it says no. */
  mayFit(milliVcpu: number, memoryBytes: number): boolean {
    return (this.milliVcpu[1] as number) >= milliVcpu && (this.memoryBytes[1] as number) >= memoryBytes;
  }

  /**
   * The first slot from `from` on, and around to it again, that has room and is accepted; NONE when there is none.
   * `accepts` sees only slots with room.
   */
  find(milliVcpu: number, memoryBytes: number, accepts: (slot: number) => boolean, from = 0): number {
    const found = this.search(1, 0, this.leaves, from, milliVcpu, memoryBytes, accepts);
    return found === NONE && from > 0 ? this.search(1, 0, this.leaves, 0, milliVcpu, memoryBytes, accepts) : found;
  }

  private search(
    at: number,
    first: number,
    width: number,
    from: number,
    milliVcpu: number,
    memoryBytes: number,
    accepts: (slot: number) => boolean,
  ): number {
    if (first + width <= from) return NONE;
    if ((this.milliVcpu[at] as number) < milliVcpu || (this.memoryBytes[at] as number) < memoryBytes) return NONE;
    if (width === 1) return first < this.used && accepts(first) ? first : NONE;
    const half = width / 2;
    const left = this.search(2 * at, first, half, from, milliVcpu, memoryBytes, accepts);
    return left === NONE ? this.search(2 * at + 1, first + half, half, from, milliVcpu, memoryBytes, accepts) : left;
  }

  private grow(): void {
    const { leaves, milliVcpu, memoryBytes } = this;
    this.leaves = leaves * 2;
    this.milliVcpu = new Float64Array(this.leaves * 2);
    this.memoryBytes = new Float64Array(this.leaves * 2);
    for (let slot = 0; slot < leaves; slot++) {
      this.update(slot, milliVcpu[leaves + slot] as number, memoryBytes[leaves + slot] as number);
    }
  }
}
