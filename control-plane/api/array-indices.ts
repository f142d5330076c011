import { invalid } from './errors.ts';

/** Children of one array. */
export const MAX_ARRAY_SIZE = 1_000_000;
const MAX_INDEX = 2 ** 31 - 1;

const RANGE = /^(\d{1,10})(?:-(\d{1,10})(?::(\d{1,10}))?)?$/;

/** Indices as given for an array, rising: `1-96:2`, `1,5,7-9`. */
export class ArrayIndices {
  readonly size: number;
  private readonly ranges: readonly { readonly first: number; readonly step: number; readonly count: number }[];

  /** Throws INVALID_ARGUMENT for `field` where the text is no list of indices. */
  constructor(text: string, field: string) {
    let last = -1;
    this.ranges = text.split(',').map((part) => {
      const match = RANGE.exec(part.trim());
      if (match === null) throw invalid(field, `indices look like 1-96:2 or 1,5,7-9, got "${shorten(part)}"`);
      const first = Number(match[1]);
      const end = Number(match[2] ?? first);
      const step = Number(match[3] ?? 1);
      if (end > MAX_INDEX) throw invalid(field, `an index is at most ${MAX_INDEX}, got ${end}`);
      if (step < 1 || end < first) throw invalid(field, `a range rises, in steps of 1 or more, got "${part.trim()}"`);
      if (first <= last) throw invalid(field, `indices rise and none comes twice; ${first} comes after ${last}`);
      const count = Math.floor((end - first) / step) + 1;
      last = first + (count - 1) * step;
      return { first, step, count };
    });
    this.size = this.ranges.reduce((sum, { count }) => sum + count, 0);
    if (this.size > MAX_ARRAY_SIZE) throw invalid(field, `at most ${MAX_ARRAY_SIZE} children, got ${this.size}`);
  }

  /** The index of the child at this place. */
  at(child: number): number {
    let left = child;
    for (const { first, step, count } of this.ranges) {
      if (left < count) return first + left * step;
      left -= count;
    }
    throw new RangeError(`child ${child} of ${this.size}`);
  }
}

function shorten(text: string): string {
  return text.length > 40 ? `${text.slice(0, 40)}...` : text;
}

/** Rising indices as a text: runs of equal steps become ranges. */
export function formatIndices(indices: readonly number[]): string {
  const parts: string[] = [];
  for (let at = 0; at < indices.length; ) {
    const first = indices[at] as number;
    const step = (indices[at + 1] ?? first) - first;
    let last = at;
    while (step > 0 && (indices[last + 1] ?? 0) - (indices[last] as number) === step) last++;
    // A range of two is no shorter than its two numbers unless they follow each other.
    if (last - at === 1 && step > 1) last = at;
    const end = indices[last] as number;
    if (last === at) parts.push(`${first}`);
    else parts.push(step === 1 ? `${first}-${end}` : `${first}-${end}:${step}`);
    at = last + 1;
  }
  return parts.join(',');
}
