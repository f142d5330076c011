import { describe, expect, it } from 'vitest';
import { allocatable, checkReserve } from './reserve.ts';

const GIB = 2 ** 30;

describe("the host's reserve", () => {
  it('is 5 % of the memory, at least 1 GiB, and no CPU', () => {
    expect(allocatable({ cores: 2, memoryBytes: 8 * GIB }, {})).toEqual({ milliVcpu: 2000, memoryBytes: 7 * GIB });
    expect(allocatable({ cores: 64, memoryBytes: 100 * GIB }, {})).toEqual({
      milliVcpu: 64_000,
      memoryBytes: 95 * GIB,
    });
  });

  it('is what the owner says', () => {
    const reserve = { percent: 50, memoryBytes: 0, milliVcpu: 500 };
    expect(allocatable({ cores: 2, memoryBytes: 8 * GIB }, reserve)).toEqual({ milliVcpu: 1500, memoryBytes: 4 * GIB });
  });

  it('leaves jobs a quarter of a host that is smaller than it', () => {
    expect(allocatable({ cores: 1, memoryBytes: GIB }, {}).memoryBytes).toBe(GIB / 4);
  });

  it('refuses what makes no sense, naming it', () => {
    expect(() => checkReserve({ percent: 99 })).toThrow('reserve.percent: 0 to 90, got 99');
    expect(() => checkReserve({ milliVcpu: -1 })).toThrow('reserve.milliVcpu: 0 or more, got -1');
  });
});
