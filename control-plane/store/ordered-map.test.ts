import fc from 'fast-check';
import { expect, test } from 'vitest';
import { OrderedMap } from './ordered-map.ts';

const keyOf = (number: number): Uint8Array => Uint8Array.of(number >> 8, number & 0xff);
const numberOf = (key: Uint8Array): number => ((key[0] ?? 0) << 8) | (key[1] ?? 0);

test('property: it holds what a sorted map would, in every range, and older versions do not change', () => {
  const number = fc.nat(3000);
  const change = fc.tuple(number, fc.boolean());
  fc.assert(
    fc.property(
      fc.array(fc.array(change, { maxLength: 1500, size: 'max' }), { minLength: 1, maxLength: 3 }),
      number,
      number,
      (batches, from, to) => {
        const model = new Set<number>();
        let map = OrderedMap.EMPTY;
        for (const batch of batches) {
          const older = map;
          const before = [...model].toSorted((a, b) => a - b);
          map = map.with(batch.map(([at, put]) => ({ key: keyOf(at), value: put ? keyOf(at) : undefined })));
          for (const [at, put] of batch) {
            if (put) model.add(at);
            else model.delete(at);
          }
          expect([...older.range(keyOf(0), keyOf(4000), false)].map((entry) => numberOf(entry.key))).toEqual(before);
        }
        const expected = [...model].filter((at) => at >= from && at < to).toSorted((a, b) => a - b);
        const found = (reverse: boolean) =>
          [...map.range(keyOf(from), keyOf(to), reverse)].map((entry) => numberOf(entry.value));
        expect(found(false)).toEqual(expected);
        expect(found(true)).toEqual(expected.toReversed());
        expect(map.get(keyOf(from)) !== undefined).toBe(model.has(from));
      },
    ),
    { numRuns: 30 },
  );
});
