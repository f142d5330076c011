import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RecordReader, RecordWriter } from '../records/codec.ts';
import { RangeSet } from './range-set.ts';
import { ReadySet } from './ready-set.ts';

const numbers = fc.uniqueArray(fc.nat({ max: 2_000 }), { maxLength: 300 });

function rangesOf(values: readonly number[]): RangeSet {
  const wanted = new Set(values);
  return RangeSet.where(2_001, (value) => wanted.has(value));
}

describe('a range set', () => {
  it('holds exactly the numbers that were wanted, in order', () => {
    fc.assert(
      fc.property(numbers, fc.nat({ max: 2_100 }), (values, from) => {
        const set = rangesOf(values);
        const sorted = values.toSorted((a, b) => a - b);
        expect(set.size).toBe(values.length);
        expect([...set.values()]).toEqual(sorted);
        expect([...set.values(from)]).toEqual(sorted.filter((value) => value >= from));
        for (let value = 0; value <= 2_001; value += 7) expect(set.has(value)).toBe(values.includes(value));
      }),
    );
  });

  it('is the same after it was written and read, as ranges and as bits', () => {
    fc.assert(
      fc.property(numbers, (values) => {
        const bytes = rangesOf(values).write(new RecordWriter().start(1)).finish();
        const input = new RecordReader(bytes);
        input.version(1);
        expect([...RangeSet.read(input).values()]).toEqual(values.toSorted((a, b) => a - b));
        expect(input.atEnd).toBe(true);
      }),
    );
  });

  it('of a million numbers has at most a bit for each, and little where they lie together', () => {
    const write = (set: RangeSet) => set.write(new RecordWriter().start(1)).finish().length;
    expect(write(RangeSet.where(1_000_000, (value) => value % 2 === 0))).toBeLessThan(125_010);
    expect(write(RangeSet.where(1_000_000, (value) => value > 5))).toBeLessThan(10);
    expect(RangeSet.where(10, (value) => value < 5 || value === 7).toString()).toBe('0-4,7');
  });
});

describe('a set of ready children', () => {
  it('gives the first of them, whatever came and went', () => {
    const steps = fc.array(fc.tuple(fc.boolean(), fc.nat({ max: 39_999 })), { maxLength: 300 });
    fc.assert(
      fc.property(steps, fc.nat({ max: 40_000 }), (changes, filled) => {
        const set = new ReadySet(40_000);
        set.fillBelow(filled);
        const model = new Set(Array.from({ length: filled }, (_, child) => child));
        for (const [adds, child] of changes) {
          if (adds) set.add(child);
          else set.remove(child);
          if (adds) model.add(child);
          else model.delete(child);
        }
        expect(set.count).toBe(model.size);
        for (let left = 0; left < 5; left++) {
          const first = set.first();
          const least = [...model].reduce((one, other) => Math.min(one, other), Number.POSITIVE_INFINITY);
          expect(first).toBe(model.size === 0 ? -1 : least);
          if (first < 0) break;
          set.remove(first);
          model.delete(first);
        }
        set.clear();
        expect([set.count, set.first()]).toEqual([0, -1]);
      }),
      { numRuns: 50 },
    );
  });
});
