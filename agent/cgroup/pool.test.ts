import { describe, expect, it } from 'vitest';
import type { Hierarchy, Leaf, LeafRecord } from './cgroup.ts';
import { LEAVES_AHEAD, LeafPool } from './pool.ts';

/** A hierarchy in memory: the pool's own rules need no kernel. */
class MemoryHierarchy implements Hierarchy {
  readonly version = 2;
  readonly limits = { cpu: 'enforced', memory: 'enforced', swap: 'enforced', pids: 'enforced' };
  readonly leaves = new Map<string, { inside: number[]; immortal: boolean }>();

  create(name: string): Leaf {
    const state = this.leaves.get(name) ?? { inside: [], immortal: false };
    this.leaves.set(name, state);
    return {
      record: { version: 2, name, directories: { unified: `/g/${name}` } },
      enterFiles: [],
      configure: () => {},
      processes: () => state.inside,
      kill: () => {
        if (!state.immortal) state.inside = [];
      },
      counters: () => ({ oomKills: 0 }),
      recycle: () => Promise.resolve(state.inside.length === 0),
      remove: () => state.inside.length === 0 && this.leaves.delete(name),
    };
  }

  open(record: LeafRecord): Leaf {
    return this.create(record.name);
  }

  owns(record: LeafRecord): boolean {
    return record.directories['unified'] === `/g/${record.name}`;
  }

  list(): string[] {
    return [...this.leaves.keys()];
  }

  remove(): boolean {
    return this.leaves.size === 0;
  }
}

describe('the pool of leaves', () => {
  it('makes some ahead, reuses what comes back, and removes all at the end', async () => {
    const hierarchy = new MemoryHierarchy();
    const pool = new LeafPool(hierarchy);
    await pool.recover([]);
    expect(pool.counts).toEqual({ idle: LEAVES_AHEAD, lent: 0, quarantined: 0 });
    for (let round = 0; round < 100; round++) await pool.release(pool.acquire());
    expect(hierarchy.leaves.size).toBe(LEAVES_AHEAD);
    pool.close();
    expect(hierarchy.leaves.size).toBe(0);
  });

  it('never lends one leaf twice', async () => {
    const pool = new LeafPool(new MemoryHierarchy());
    await pool.recover([]);
    const names = Array.from({ length: 50 }, () => pool.acquire().record.name);
    expect(new Set(names).size).toBe(50);
  });

  it('lends nobody a leaf in which something does not die, until it has', async () => {
    const hierarchy = new MemoryHierarchy();
    const pool = new LeafPool(hierarchy);
    await pool.recover([]);
    const leaf = pool.acquire();
    const state = hierarchy.leaves.get(leaf.record.name);
    if (state === undefined) throw new Error('the leaf is unknown');
    Object.assign(state, { inside: [42], immortal: true });
    await pool.release(leaf);
    await pool.retryQuarantined();
    expect(pool.counts.quarantined).toBe(1);
    state.immortal = false;
    await pool.retryQuarantined();
    expect(pool.counts).toEqual({ idle: LEAVES_AHEAD, lent: 0, quarantined: 0 });
  });

  it('takes over from an earlier agent: keeps what attempts hold, empties the rest', async () => {
    const hierarchy = new MemoryHierarchy();
    for (const name of ['slot-3', 'slot-7']) {
      hierarchy.create(name);
      Object.assign(hierarchy.leaves.get(name) ?? {}, { inside: [1] });
    }
    const pool = new LeafPool(hierarchy);
    const [kept] = await pool.recover([{ version: 2, name: 'slot-7', directories: { unified: '/g/slot-7' } }]);
    expect(kept?.processes()).toEqual([1]);
    expect(hierarchy.leaves.get('slot-3')?.inside).toEqual([]);
    expect(pool.counts.lent).toBe(1);
    const names = Array.from({ length: 20 }, () => pool.acquire().record.name);
    expect(names).not.toContain('slot-7');
  });

  it('removes a leaf that was made elsewhere in the tree instead of reusing it', async () => {
    const hierarchy = new MemoryHierarchy();
    const pool = new LeafPool(hierarchy);
    const [leaf] = await pool.recover([{ version: 2, name: 'slot-1', directories: { unified: '/g/slot-1' } }]);
    if (leaf === undefined) throw new Error('nothing was adopted');
    hierarchy.owns = () => false;
    await pool.release(leaf);
    expect(hierarchy.list()).not.toContain('slot-1');
  });
});
