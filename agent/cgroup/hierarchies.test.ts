import { accessSync, constants, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ENFORCED } from './cgroup.ts';
import { testHierarchy } from './contract.ts';
import { detectHierarchies } from './detect.ts';
import { readControl } from './files.ts';
import { openV1 } from './v1.ts';
import { HierarchyV2, openV2 } from './v2.ts';

const group = `galley-contract-${process.pid}`;
const { v1, v2 } = detectHierarchies();
const root = process.getuid?.() === 0;
const v1Usable = root && v1.has('memory') && v1.has('pids') && v1.has('cpu');
const v2Controllers = v2 === undefined ? '' : (readControl(join(v2.directory, v2.own, 'cgroup.controllers')) ?? '');
// Moving the test runner out of its own group would be rude to whoever started it, so v2 runs as root only.
const v2Usable =
  root && ['cpu', 'memory', 'pids'].every((controller) => v2Controllers.split(/\s/).includes(controller));

if (v1Usable) {
  testHierarchy('control groups v1', () => {
    const { hierarchy } = openV1(v1, group);
    if (hierarchy === undefined) throw new Error('v1 is mounted and cannot be opened');
    return hierarchy;
  });
}

if (v2Usable && v2 !== undefined) {
  testHierarchy('control groups v2', () => {
    const { hierarchy } = openV2(v2, group, true);
    if (hierarchy === undefined) throw new Error('v2 has every controller and cannot be opened');
    return hierarchy;
  });
}

if (root && v2 !== undefined && !v2Usable) {
  // On the hybrid layout the controllers are in v1; entering, seeing, killing and reusing work on the bare v2 tree.
  const none = 'unavailable: the controllers are in v1';
  const path = join(v2.directory, v2.own, group);
  testHierarchy(
    'control groups v2 without controllers',
    () => {
      mkdirSync(path);
      return new HierarchyV2(path, { cpu: none, memory: none, pids: none, swap: none });
    },
    false,
  );
}

describe('what the machine offers', () => {
  it('is said one by one', () => {
    const { limits } = openV1(new Map(), group);
    expect(limits.memory).toBe('unavailable: no memory controller is mounted');
    // Nobody knows what the kernel accounts where no group could be made.
    expect(limits.swap).toBe(limits.memory);
    if (v2 !== undefined && !v2Usable && root) {
      const opened = openV2(v2, group, true);
      expect(opened.hierarchy).toBeUndefined();
      expect(opened.limits.memory).toMatch(/^unavailable: /);
    }
  });

  it('agrees with what can be written', () => {
    const memory = v1.get('memory');
    if (memory === undefined) return expect(v2).toBeDefined();
    const directory = join(memory.directory, memory.own);
    let writable = true;
    try {
      accessSync(directory, constants.W_OK);
    } catch {
      writable = false;
    }
    const { hierarchy, limits } = openV1(v1, group);
    expect(limits.memory === ENFORCED).toBe(writable);
    hierarchy?.remove();
  });
});
