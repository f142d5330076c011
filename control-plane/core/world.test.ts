import { describe, expect, it } from 'vitest';
import { World } from './testing/world.ts';

/** Steps of each world, and worlds of a run. Every index is derived anew after every turn. */
const STEPS = 400;
const WORLDS = 60;

describe('under lost, doubled and late messages, and crashes between any two steps', () => {
  it.each(Array.from({ length: WORLDS }, (_, seed) => seed + 1))(
    'seed %i: no acknowledged job is lost, none runs twice at once, each ends once and truly',
    (seed) => {
      const world = new World(seed);
      world.run(STEPS);
      world.calm();
      expect(world.judge()).toEqual([]);
    },
  );

  it('is the same world again with the same seed', () => {
    const play = (): string => {
      const world = new World(7);
      world.run(STEPS);
      return JSON.stringify([...world.starts]);
    };
    expect(play()).toBe(play());
  });
});
