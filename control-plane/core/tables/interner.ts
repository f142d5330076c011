import { assert, MAX_MAP_ENTRIES } from '../assert.ts';

/**
 * Gives equal values one small number, counted by reference, so that columns can hold texts and policies. Holds at most
 * `limit` distinct values at a time.
 */
export class Interner<T> {
  private readonly indexes = new Map<string, number>();
  private readonly keys: string[] = [];
  private readonly values: (T | undefined)[] = [];
  private readonly references: number[] = [];
  private readonly free: number[] = [];
  readonly limit: number;

  constructor(limit = 65_536) {
    assert(limit <= MAX_MAP_ENTRIES, `an interner holds at most ${MAX_MAP_ENTRIES} values`);
    this.limit = limit;
  }

  get size(): number {
    return this.indexes.size;
  }

  /** Whether `acquire` would succeed. */
  hasRoomFor(key: string): boolean {
    return this.indexes.size < this.limit || this.indexes.has(key);
  }

  /** The value's number, with one more reference. */
  acquire(key: string, make: () => T): number {
    let index = this.indexes.get(key);
    if (index === undefined) {
      assert(this.indexes.size < this.limit, `interner is full (${this.limit})`);
      index = this.free.pop() ?? this.keys.length;
      this.indexes.set(key, index);
      this.keys[index] = key;
      this.values[index] = make();
      this.references[index] = 0;
    }
    this.references[index] = (this.references[index] ?? 0) + 1;
    return index;
  }

  get(index: number): T {
    const value = this.values[index];
    assert(value !== undefined, `interned value ${index} is gone`);
    return value;
  }

  /** Gives back one reference. */
  release(index: number): void {
    const left = (this.references[index] ?? 0) - 1;
    assert(left >= 0, `interned value ${index} was released too often`);
    this.references[index] = left;
    if (left > 0) return;
    this.indexes.delete(this.keys[index] ?? '');
    this.values[index] = undefined;
    this.free.push(index);
  }

  referencesTo(index: number): number {
    return this.references[index] ?? 0;
  }
}
