import { NONE } from '../tables/job-table.ts';

const WORD_BITS = 5;
const WORD = 1 << WORD_BITS;
const ALL_BITS = 0xffff_ffff;

/**
 * Which children of an array are ready to be placed: a tree of bits, so that the first one is found in a few steps however
 * many there are, and a retry, which is nearly always behind those that are placed already, comes first by itself.
 */
export class ReadySet {
  /** Bit i of a level: word i of the level below is not empty. The first level has a bit a child. */
  private readonly levels: Uint32Array[] = [];
  count = 0;

  constructor(size: number) {
    let bits = size;
    do {
      bits = Math.ceil(bits / WORD);
      this.levels.push(new Uint32Array(bits));
    } while (bits > 1);
  }

  has(child: number): boolean {
    const word = (this.levels[0] as Uint32Array)[child >>> WORD_BITS] as number;
    return (word & (1 << (child % WORD))) !== 0;
  }

  add(child: number): void {
    if (this.has(child)) return;
    this.count += 1;
    let at = child;
    for (const level of this.levels) {
      const before = level[at >>> WORD_BITS] as number;
      level[at >>> WORD_BITS] = before | (1 << (at % WORD));
      if (before !== 0) return;
      at >>>= WORD_BITS;
    }
  }

  remove(child: number): void {
    if (!this.has(child)) return;
    this.count -= 1;
    let at = child;
    for (const level of this.levels) {
      const after = (level[at >>> WORD_BITS] as number) & ~(1 << (at % WORD));
      level[at >>> WORD_BITS] = after;
      if (after !== 0) return;
      at >>>= WORD_BITS;
    }
  }

  /** Adds every child below `bound` to a set that is empty. */
  fillBelow(bound: number): void {
    this.count = bound;
    let bits = bound;
    for (const level of this.levels) {
      const whole = bits >>> WORD_BITS;
      level.fill(ALL_BITS, 0, whole);
      if (bits % WORD > 0) level[whole] = (1 << (bits % WORD)) - 1;
      bits = Math.ceil(bits / WORD);
    }
  }

  clear(): void {
    this.count = 0;
    for (const level of this.levels) level.fill(0);
  }

  /** The first child that is ready, or NONE. */
  first(): number {
    if (this.count === 0) return NONE;
    let at = 0;
    for (let depth = this.levels.length - 1; depth >= 0; depth--) {
      const word = (this.levels[depth] as Uint32Array)[at] as number;
      at = at * WORD + (31 - Math.clz32(word & -word));
    }
    return at;
  }
}
