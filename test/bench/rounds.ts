import { median, rounded } from './stats.ts';
import type { Floor, Row, Target } from './types.ts';

export interface Rounds {
  readonly ours: number[];
  readonly floor: number[];
}

/** Measures ours and the floor in turns, so that a machine that slows down slows both. */
export async function alternate(
  rounds: number,
  ours: (round: number) => Promise<number>,
  floor: (round: number) => Promise<number>,
): Promise<Rounds> {
  const result: Rounds = { ours: [], floor: [] };
  for (let round = 0; round < rounds; round++) {
    // The one that goes first may find a cold machine, so they take turns in that too.
    if (round % 2 === 0) result.ours.push(await ours(round));
    result.floor.push(await floor(round));
    if (round % 2 === 1) result.ours.push(await ours(round));
  }
  return result;
}

/** A row of the medians; the ratio is the median of the ratios of neighbours. */
export function toRow(
  row: Pick<Row, 'name' | 'what' | 'unit' | 'better'>,
  { ours, floor }: Rounds,
  floorOf: string,
  target?: (value: number, ratio: number) => Target,
): Row {
  const value = rounded(median(ours));
  const ratio = rounded(median(ours.map((one, round) => one / (floor[round] ?? Number.NaN))));
  const beside: Floor = { what: floorOf, value: rounded(median(floor)), rounds: floor.map(rounded), ratio };
  return {
    ...row,
    value,
    rounds: ours.map(rounded),
    floor: beside,
    ...(target === undefined ? {} : { target: target(value, ratio) }),
  };
}
