import { LimitState } from '@galley/proto';
import { describe, expect, test } from 'vitest';
import { ENFORCED } from '../cgroup/cgroup.ts';
import { describeHost } from './host.ts';
import { buildInventory, type InventoryParts } from './inventory.ts';
import { allocatable, checkReserve } from './reserve.ts';

const GIB = 1024 ** 3;

describe('what jobs may use', () => {
  test.each([
    { host: { cores: 16, memoryBytes: 64 * GIB }, milliVcpu: 16_000, memoryBytes: Math.floor(64 * GIB * 0.95) },
    // 5 % would be less than the 1 GiB that is kept at least.
    { host: { cores: 2, memoryBytes: 8 * GIB }, milliVcpu: 2_000, memoryBytes: 7 * GIB },
    // A host that the reserve would leave with nothing.
    { host: { cores: 1, memoryBytes: GIB }, milliVcpu: 1_000, memoryBytes: GIB / 4 },
  ])('of $host', ({ host, milliVcpu, memoryBytes }) => {
    expect(allocatable(host, {})).toEqual({ milliVcpu, memoryBytes });
  });

  test('a reserve as it is given', () => {
    const host = { cores: 4, memoryBytes: 8 * GIB };
    expect(allocatable(host, { percent: 0, memoryBytes: 0 })).toEqual({ milliVcpu: 4_000, memoryBytes: 8 * GIB });
    expect(allocatable(host, { percent: 50, milliVcpu: 3_000 })).toEqual({ milliVcpu: 1_000, memoryBytes: 4 * GIB });
  });

  test('a reserve out of range names field, constraint and value', () => {
    expect(() => checkReserve({ percent: -1 })).toThrow('reserve.percent: 0 to 90, got -1');
    expect(() => checkReserve({ memoryBytes: Number.NaN })).toThrow('reserve.memoryBytes: 0 or more, got NaN');
  });
});

test('the host is described with what the kernel says', async () => {
  const host = await describeHost();
  expect(host.cores).toBeGreaterThan(0);
  expect(host.memoryBytes).toBeGreaterThan(64 * 1024 * 1024);
  expect(host.kernel).toMatch(/^\d+\.\d+/);
  expect(host.agentIsRoot).toBe(process.getuid?.() === 0);
});

describe('warnings', () => {
  const none = 'unavailable: not writable';
  const host = {
    hostname: 'h',
    operatingSystem: '',
    kernel: '',
    architecture: '',
    cpuModel: '',
    cores: 1,
    memoryBytes: GIB,
    swapBytes: 0,
    agentUser: 'eve',
    agentIsRoot: false,
    features: [],
    warnings: [],
  };
  const parts = (memory: string, allowUnlimited: boolean): InventoryParts => ({
    host,
    runtime: { limits: { cpu: ENFORCED, memory, swap: ENFORCED, pids: ENFORCED }, oomProtection: 'protected' },
    reserve: {},
    labels: {},
    named: {},
    allowUnlimited,
    features: [],
    warnings: [],
  });

  test('a missing limit is named, and what follows from it', () => {
    const refusing = buildInventory(parts(none, false));
    expect(refusing.warnings[0]).toMatch(/every job is refused.*memory: unavailable: not writable/);
    expect(buildInventory(parts(none, true)).warnings[0]).toMatch(/because of --allow-unlimited/);
    const memory = refusing.limits.find(({ resource }) => resource === 'memory');
    expect(memory).toMatchObject({ state: LimitState.UNAVAILABLE, detail: none });
  });

  test('an agent that is not root says whom jobs run as', () => {
    expect(buildInventory(parts(ENFORCED, false)).warnings).toEqual([expect.stringContaining('every job runs as eve')]);
  });
});
