/**
 * An open-addressing index from a key to a row of a table. It stores rows only; the table knows the keys. Split into
 * shards that grow one at a time, so that no insertion pays for moving a million entries.
 */
export class RowIndex {
  private readonly shards: Shard[];
  private readonly hashOf: (row: number) => number;

  /** `hashOf` gives the 32-bit hash of a row's key; the key must not change while the row is in the index. */
  constructor(hashOf: (row: number) => number) {
    this.hashOf = hashOf;
    this.shards = Array.from({ length: SHARDS }, () => ({ slots: new Int32Array(INITIAL_SLOTS).fill(EMPTY), used: 0 }));
  }

  /** The row whose key has this hash and matches, or -1. */
  find(hash: number, matches: (row: number) => boolean): number {
    const { slots } = this.shard(hash);
    const mask = slots.length - 1;
    for (let at = hash & mask; ; at = (at + 1) & mask) {
      const row = slots[at] as number;
      if (row === EMPTY) return -1;
      if (matches(row)) return row;
    }
  }

  /** Adds a row whose key is not in the index. */
  insert(row: number): void {
    const hash = this.hashOf(row);
    const shard = this.shard(hash);
    if (shard.used * 5 >= shard.slots.length * 3) this.grow(shard);
    place(shard.slots, hash, row);
    shard.used++;
  }

  /** Takes a row out. */
  remove(row: number): void {
    const hash = this.hashOf(row);
    const shard = this.shard(hash);
    const { slots } = shard;
    const mask = slots.length - 1;
    let at = hash & mask;
    while (slots[at] !== row) {
      if (slots[at] === EMPTY) throw new Error(`row ${row} is not in the index`);
      at = (at + 1) & mask;
    }
    // Entries behind the hole move up, so that no tombstone is ever needed.
    for (let next = (at + 1) & mask; slots[next] !== EMPTY; next = (next + 1) & mask) {
      const home = this.hashOf(slots[next] as number) & mask;
      if (((next - home) & mask) >= ((next - at) & mask)) {
        slots[at] = slots[next] as number;
        at = next;
      }
    }
    slots[at] = EMPTY;
    shard.used--;
  }

  get size(): number {
    return this.shards.reduce((sum, shard) => sum + shard.used, 0);
  }

  private shard(hash: number): Shard {
    return this.shards[hash >>> (32 - SHARD_BITS)] as Shard;
  }

  private grow(shard: Shard): void {
    const larger = new Int32Array(shard.slots.length * 2).fill(EMPTY);
    for (const row of shard.slots) if (row !== EMPTY) place(larger, this.hashOf(row), row);
    shard.slots = larger;
  }
}

interface Shard {
  slots: Int32Array;
  used: number;
}

const EMPTY = -1;
const SHARD_BITS = 8;
const SHARDS = 1 << SHARD_BITS;
const INITIAL_SLOTS = 16;

function place(slots: Int32Array, hash: number, row: number): void {
  const mask = slots.length - 1;
  let at = hash & mask;
  while (slots[at] !== EMPTY) at = (at + 1) & mask;
  slots[at] = row;
}

/** Mixes a 32-bit word into a hash (the finaliser of MurmurHash3, by Austin Appleby, public domain). */
export function mix(hash: number, word: number): number {
  let h = (hash ^ word) | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
