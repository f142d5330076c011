/**
 * The contract of a hierarchy as tests, run on every version of control groups that the machine offers, with real
 * processes. Import it from a test file only.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Hierarchy, Leaf } from './cgroup.ts';
import { CgroupError } from './cgroup.ts';

const MEBIBYTE = 1024 * 1024;
const LIMITS = { milliVcpu: 500, memoryBytes: 32 * MEBIBYTE, swapBytes: 0, pids: 20 };

/** Runs a shell command inside a leaf, entering as the launcher does. */
function inside(leaf: Leaf, command: string): ReturnType<typeof spawn> {
  const enter = leaf.enterFiles.map((_, index) => `echo 0 >"$${index + 1}"`).join(' && ');
  return spawn('sh', ['-c', `${enter} || exit 99\n${command}`, 'sh', ...leaf.enterFiles], { stdio: 'ignore' });
}

async function status(leaf: Leaf, command: string): Promise<{ code: number | null; signal: string | null }> {
  const [code, signal] = (await once(inside(leaf, command), 'exit')) as [number | null, string | null];
  return { code, signal };
}

const PATIENCE_MS = 5_000;

async function until(condition: () => boolean): Promise<void> {
  const limit = performance.now() + PATIENCE_MS;
  while (!condition()) {
    if (performance.now() > limit) throw new Error(`not within ${PATIENCE_MS} ms: ${condition.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/**
 * @param limited false where the hierarchy has no controllers: then only membership, killing and reuse are tested.
 */
export function testHierarchy(name: string, open: () => Hierarchy, limited = true): void {
  describe(name, () => {
    let hierarchy: Hierarchy;
    let leaf: Leaf;
    beforeAll(() => {
      hierarchy = open();
      leaf = hierarchy.create('slot-1');
    });
    afterAll(async () => {
      for (const one of hierarchy.list()) await until(() => hierarchy.create(one).remove());
      expect(hierarchy.remove()).toBe(true);
    });

    it('lists, reopens and owns its leaves', () => {
      expect(hierarchy.list()).toContain('slot-1');
      const reopened = hierarchy.open(JSON.parse(JSON.stringify(leaf.record)) as typeof leaf.record);
      expect(reopened.enterFiles).toEqual(leaf.enterFiles);
      expect(hierarchy.owns(leaf.record)).toBe(true);
      expect(hierarchy.owns({ ...leaf.record, directories: { memory: '/elsewhere/slot-1' } })).toBe(false);
    });

    it('sees who is inside, and kills everything', async () => {
      leaf.configure(LIMITS);
      const child = inside(leaf, 'sleep 1000 & sleep 1000 & wait');
      await until(() => leaf.processes().length === 3);
      expect(leaf.processes()).toContain(child.pid);
      leaf.kill();
      await until(() => leaf.processes().length === 0);
      // Zombies of a killed shell go to the host's first process, which collects them in its own time.
      await until(() => (leaf.counters().processes ?? 0) === 0);
      expect(await leaf.recycle()).toBe(true);
    });

    it.runIf(limited)('kills for memory, and counts it', async () => {
      leaf.configure(LIMITS);
      const before = leaf.counters().oomKills;
      const { signal } = await status(leaf, `exec perl -e 'my $x = "a" x (100 << 20)'`);
      expect(signal).toBe('SIGKILL');
      expect(leaf.counters().oomKills).toBeGreaterThan(before);
      expect(leaf.counters().peakMemoryBytes ?? LIMITS.memoryBytes).toBeGreaterThan(LIMITS.memoryBytes / 2);
    });

    it.runIf(limited)('starts anew after recycling: no page cache, no peak', async () => {
      await until(() => leaf.processes().length === 0);
      expect(await leaf.recycle()).toBe(true);
      expect(leaf.counters().peakMemoryBytes ?? 0).toBeLessThan(8 * MEBIBYTE);
      leaf.configure({ ...LIMITS, memoryBytes: 64 * MEBIBYTE });
      expect(await status(leaf, `exec perl -e 'my $x = "a" x (20 << 20)'`)).toEqual({ code: 0, signal: null });
      expect(leaf.counters().cpuTimeUs ?? 1).toBeGreaterThan(0);
    });

    it('takes limits up and down in any order', () => {
      for (const memory of [64, 16, 128, 16]) {
        for (const swapBytes of [0, 8 * MEBIBYTE, 0]) {
          leaf.configure({ ...LIMITS, memoryBytes: memory * MEBIBYTE, swapBytes });
        }
      }
    });

    it.runIf(limited)('bounds the number of processes', async () => {
      leaf.configure({ ...LIMITS, pids: 3 });
      const { code } = await status(leaf, 'sleep 0.1 & sleep 0.1 & sleep 0.1 & sleep 0.1 & wait');
      expect(code).not.toBe(0);
    });

    it.runIf(limited)('says which limit the kernel refused', () => {
      expect(() => leaf.configure({ ...LIMITS, pids: -5 })).toThrow(CgroupError);
      leaf.configure(LIMITS);
    });

    it('refuses to recycle or remove a leaf with somebody inside', async () => {
      const child = inside(leaf, 'exec sleep 1000');
      await until(() => leaf.processes().length === 1);
      expect(await leaf.recycle()).toBe(false);
      expect(leaf.remove()).toBe(false);
      child.kill('SIGKILL');
      await once(child, 'exit');
    });
  });
}
