import type { RecordReader, RecordWriter } from '../records/codec.ts';

/** Whole numbers from 0 as sorted ranges that do not touch: `starts[i]` up to, not including, `ends[i]`. */
export class RangeSet {
  private readonly starts: readonly number[];
  private readonly ends: readonly number[];
  /** How many numbers it holds. */
  readonly size: number;

  private constructor(starts: readonly number[], ends: readonly number[]) {
    this.starts = starts;
    this.ends = ends;
    this.size = starts.reduce((sum, start, at) => sum + (ends[at] as number) - start, 0);
  }

  /** Ranges in order that do not touch: from each start up to, not including, its end. */
  static of(starts: readonly number[], ends: readonly number[]): RangeSet {
    return new RangeSet(starts, ends);
  }

  static readonly empty: RangeSet = new RangeSet([], []);

  /** The numbers below `bound` that are wanted. */
  static where(bound: number, wanted: (value: number) => boolean): RangeSet {
    const starts: number[] = [];
    const ends: number[] = [];
    let open = false;
    for (let value = 0; value < bound; value++) {
      if (wanted(value) === open) continue;
      (open ? ends : starts).push(value);
      open = !open;
    }
    if (open) ends.push(bound);
    return new RangeSet(starts, ends);
  }

  has(value: number): boolean {
    const at = this.rangeBefore(value);
    return at >= 0 && value < (this.ends[at] as number);
  }

  *values(from = 0): Generator<number> {
    for (let at = Math.max(0, this.rangeBefore(from)); at < this.starts.length; at++) {
      const end = this.ends[at] as number;
      for (let value = Math.max(from, this.starts[at] as number); value < end; value++) yield value;
    }
  }

  /** As a text of the form `0-4,7`. */
  toString(): string {
    return this.starts
      .map((start, at) =>
        (this.ends[at] as number) - start === 1 ? `${start}` : `${start}-${(this.ends[at] ?? 0) - 1}`,
      )
      .join();
  }

  /** The bytes are those of its ranges, or of a bit a number where that is less: 125 KB for a million at the most. */
  write(out: RecordWriter): RecordWriter {
    const bound = this.ends.at(-1) ?? 0;
    if (this.starts.length * LIKELY_RANGE_BYTES <= bound / 8 + LIKELY_RANGE_BYTES) {
      out.byte(AS_RANGES).uint(this.starts.length);
      let last = 0;
      for (const [at, start] of this.starts.entries()) {
        const end = this.ends[at] as number;
        out.uint(start - last).uint(end - start);
        last = end;
      }
      return out;
    }
    const bits = new Uint8Array(Math.ceil(bound / 8));
    for (const value of this.values()) bits[value >> 3] = (bits[value >> 3] as number) | (1 << (value & 7));
    return out.byte(AS_BITS).bytes(bits);
  }

  static read(input: RecordReader): RangeSet {
    if (input.byte() === AS_BITS) {
      const bits = input.bytes();
      return RangeSet.where(bits.length * 8, (value) => ((bits[value >> 3] as number) & (1 << (value & 7))) !== 0);
    }
    const starts: number[] = [];
    const ends: number[] = [];
    let last = 0;
    for (let left = input.uint(); left > 0; left--) {
      starts.push(last + input.uint());
      last = (starts.at(-1) as number) + input.uint();
      ends.push(last);
    }
    return new RangeSet(starts, ends);
  }

  /** The last range that begins at or before a number; -1: none does. */
  private rangeBefore(value: number): number {
    let [low, high] = [0, this.starts.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.starts[middle] as number) <= value) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

const AS_RANGES = 0;
const AS_BITS = 1;
/** Bytes of a range, at the most, where ranges are so many that bits could be fewer. */
const LIKELY_RANGE_BYTES = 4;
