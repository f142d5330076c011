import type { Target } from './types.ts';

// The forms that a target has.

export const atLeastPercentOfFloor =
  (percent: number) =>
  (_value: number, ratio: number): Target => ({
    text: `>= ${percent} % of the floor`,
    met: ratio * 100 >= percent,
  });

export const atLeast =
  (least: number, unit: string) =>
  (value: number): Target => ({
    text: `>= ${least} ${unit}`,
    met: value >= least,
  });

export const atMost =
  (most: number, unit: string) =>
  (value: number): Target => ({
    text: `<= ${most} ${unit}`,
    met: value <= most,
  });
