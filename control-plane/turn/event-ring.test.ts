import fc from 'fast-check';
import { expect, it } from 'vitest';
import { EventRing, type TurnEvents } from './event-ring.ts';

const UNBOUNDED = {
  ageMs: Number.POSITIVE_INFINITY,
  events: Number.POSITIVE_INFINITY,
  bytes: Number.POSITIVE_INFINITY,
};
const FLOOR = { epoch: 1, sequence: 0 };

function turn(sequence: number, { wrote = true, events = 1 } = {}): TurnEvents {
  const event = { kind: 'node', account: 'default', node: 'n', from: 1, to: 2, reason: '' } as const;
  return { position: { epoch: 1, sequence }, wrote, atMs: 0, events: Array.from({ length: events }, () => event) };
}

/** The sequences that a reader gets who starts at this place. */
function from(ring: EventRing, place: number | undefined): number[] | undefined {
  if (place === undefined) return undefined;
  const seen: number[] = [];
  for (let at = place; ; at++) {
    const found = ring.at(at);
    if (found === undefined) return seen;
    seen.push(found.position.sequence);
  }
}

it('gives a reader everything after its position, or says that it cannot', () => {
  // Each step: a turn that writes (advances by 1 to 3 and changes states, or not), or one that writes nothing.
  const step = fc.record({ advance: fc.integer({ min: 0, max: 3 }), events: fc.integer({ min: 0, max: 3 }) });
  const limits = fc.integer({ min: 1, max: 12 });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), limits, fc.nat(60), (steps, events, after) => {
      const ring = new EventRing({ ...UNBOUNDED, events }, FLOOR);
      const model: TurnEvents[] = [];
      let sequence = 0;
      for (const [at, { advance, events: count }] of steps.entries()) {
        sequence += advance;
        if (count === 0) continue;
        const added = turn(sequence, { wrote: advance > 0, events: count });
        model.push(added);
        ring.add(added, at);
      }
      const isOwed = ({ position, wrote }: TurnEvents) =>
        position.sequence > after || (position.sequence === after && !wrote);
      let dropped = 0;
      const count = () => model.slice(dropped).reduce((sum, each) => sum + each.events.length, 0);
      while (dropped < model.length - 1 && count() > events) dropped++;
      const given = from(ring, ring.placeAfter({ epoch: 1, sequence: after }));
      if (model.slice(0, dropped).some(isOwed)) expect(given).toBeUndefined();
      else expect(given).toEqual(model.filter(isOwed).map(({ position }) => position.sequence));
    }),
  );
});

it('drops the oldest by count, by memory and by age, and never the newest', () => {
  const byCount = new EventRing({ ...UNBOUNDED, events: 2 }, FLOOR);
  for (const sequence of [1, 2, 3]) byCount.add(turn(sequence), 0);
  expect(byCount.placeAfter(FLOOR)).toBeUndefined();
  expect(from(byCount, byCount.placeAfter({ epoch: 1, sequence: 1 }))).toEqual([2, 3]);
  byCount.add(turn(4, { events: 5 }), 0);
  expect(from(byCount, byCount.placeAfter({ epoch: 1, sequence: 3 }))).toEqual([4]);

  const byBytes = new EventRing({ ...UNBOUNDED, bytes: 300 }, FLOOR);
  for (const sequence of [1, 2, 3]) byBytes.add(turn(sequence), 0);
  expect(byBytes.placeAfter(FLOOR)).toBeUndefined();

  const byAge = new EventRing({ ...UNBOUNDED, ageMs: 100 }, FLOOR);
  byAge.add(turn(1), 0);
  byAge.add(turn(2), 101);
  expect(byAge.placeAfter(FLOOR)).toBeUndefined();
  expect(from(byAge, byAge.placeAfter({ epoch: 1, sequence: 1 }))).toEqual([2]);
});

it('lets every reader know when it starts over', () => {
  const ring = new EventRing(UNBOUNDED, FLOOR);
  ring.add(turn(1), 0);
  const place = ring.end;
  ring.clear({ epoch: 2, sequence: 1 });
  expect(ring.isDropped(place)).toBe(true);
  expect(ring.isDropped(ring.end)).toBe(false);
  expect(ring.placeAfter({ epoch: 2, sequence: 1 })).toBe(ring.end);
});
