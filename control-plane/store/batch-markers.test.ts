import fc from 'fast-check';
import { expect, test } from 'vitest';
import { encodeMarker, MARKER_SLOTS, MarkerCensus } from './batch-markers.ts';
import type { Integrity } from './store.ts';

/** The ring after batches 1 to `last` of epoch 1, of which `lost` never reached it. */
function ringOf(last: number, lost: ReadonlySet<number>): MarkerCensus {
  const slots = new Map<string, ReturnType<typeof encodeMarker>>();
  for (let sequence = Math.max(1, last - 2 * MARKER_SLOTS); sequence <= last; sequence++) {
    if (lost.has(sequence)) continue;
    const marker = encodeMarker({ epoch: 1, sequence });
    slots.set(Buffer.from(marker.key).toString('hex'), marker);
  }
  const census = new MarkerCensus('test');
  for (const { key, value } of slots.values()) census.add(key, value);
  return census;
}

test('the first markers, a full ring, and one that went round are whole', () => {
  for (const last of [0, 1, MARKER_SLOTS - 1, MARKER_SLOTS, MARKER_SLOTS + 1, 1_000_000]) {
    const census = ringOf(last, new Set());
    expect(census.newest).toEqual({ epoch: 1, sequence: last });
    expect(census.contiguity).toEqual({ kind: 'whole' });
  }
});

test('property: whatever is lost among the last ring of batches is counted, and the first of it named', () => {
  const lasts = fc.constantFrom(2000, MARKER_SLOTS + 500);
  fc.assert(
    fc.property(lasts, fc.uniqueArray(fc.integer({ min: 1, max: 1500 }), { maxLength: 20 }), (last, backs) => {
      const lost = new Set(backs.map((back) => last - back));
      const expected: Integrity =
        lost.size === 0
          ? { kind: 'whole' }
          : { kind: 'hole', missing: lost.size, firstMissing: { epoch: 1, sequence: Math.min(...lost) } };
      expect(ringOf(last, lost).contiguity).toEqual(expected);
    }),
    { numRuns: 10 },
  );
});

test('markers of an earlier epoch do not count for this one', () => {
  const census = new MarkerCensus('test');
  for (const position of [
    { epoch: 1, sequence: 1 },
    { epoch: 1, sequence: 2 },
    { epoch: 2, sequence: 3 },
  ]) {
    const { key, value } = encodeMarker(position);
    census.add(key, value);
  }
  expect(census.newest).toEqual({ epoch: 2, sequence: 3 });
  expect(census.contiguity).toEqual({ kind: 'hole', missing: 2, firstMissing: { epoch: 2, sequence: 1 } });
});

test('a marker that does not match its checksum is refused', () => {
  const { key, value } = encodeMarker({ epoch: 1, sequence: 1 });
  value[9] = 0x55;
  expect(() => new MarkerCensus('the store').add(key, value)).toThrow(/the store: the record 0xff6d0001/);
});
