import { expect, test } from 'vitest';
import { alternate, toRow } from './rounds.ts';
import { median, quantile, rounded } from './stats.ts';
import { atLeastPercentOfFloor } from './targets.ts';

test('median and quantiles, whatever the order', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(quantile([5, 1, 4, 2, 3], 0.5)).toBe(3);
  expect(quantile([5, 1, 4, 2, 3], 0.99)).toBe(5);
  expect(median([])).toBeNaN();
  expect(rounded(12_345.678)).toBe(12_300);
});

test('ours and the floor are measured in turns, and neither is always first', async () => {
  const order: string[] = [];
  const measure = (name: string) => async (round: number) => order.push(`${name}${round}`);
  const { ours, floor } = await alternate(3, measure('ours'), measure('floor'));
  expect(order).toEqual(['ours0', 'floor0', 'floor1', 'ours1', 'ours2', 'floor2']);
  expect([ours.length, floor.length]).toEqual([3, 3]);
});

test('the ratio is that of neighbours: a machine that slows down slows both', () => {
  const rounds = { ours: [400, 40, 410], floor: [1000, 100, 1000] };
  const row = toRow({ name: 'n', what: 'w', unit: 'jobs/s', better: 'higher' }, rounds, 'f', atLeastPercentOfFloor(40));
  expect(row).toMatchObject({ value: 400, floor: { value: 1000, ratio: 0.4 }, target: { met: true } });
});
