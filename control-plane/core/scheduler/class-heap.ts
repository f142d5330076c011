import { assert } from '../assert.ts';
import type { ClassTable } from '../tables/class-table.ts';
import { NONE } from '../tables/job-table.ts';

/** The classes of one queue that have ready jobs and are not parked, first to be served on top. */
export class ClassHeap {
  private readonly heap: number[] = [];
  private readonly classes: ClassTable;
  private readonly before: (a: number, b: number) => boolean;

  /** `before` says whether class `a` is served before class `b`. */
  constructor(classes: ClassTable, before: (a: number, b: number) => boolean) {
    this.classes = classes;
    this.before = before;
  }

  get top(): number {
    return this.heap[0] ?? NONE;
  }

  get size(): number {
    return this.heap.length;
  }

  has(cls: number): boolean {
    return this.classes.place[cls] !== NONE;
  }

  add(cls: number): void {
    assert(!this.has(cls), `class ${cls} is queued already`);
    this.heap.push(cls);
    this.up(this.heap.length - 1);
  }

  remove(cls: number): void {
    const at = this.classes.place[cls] as number;
    assert(this.heap[at] === cls, `class ${cls} is not queued`);
    const last = this.heap.pop() as number;
    if (last !== cls) {
      this.put(at, last);
      this.moved(last);
    }
    this.classes.place[cls] = NONE;
  }

  /** The class's first job changed: it may stand elsewhere now. */
  moved(cls: number): void {
    this.up(this.classes.place[cls] as number);
    this.down(this.classes.place[cls] as number);
  }

  values(): readonly number[] {
    return this.heap;
  }

  private up(from: number): void {
    let at = from;
    const cls = this.heap[at] as number;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.before(cls, this.heap[parent] as number)) break;
      this.put(at, this.heap[parent] as number);
      at = parent;
    }
    this.put(at, cls);
  }

  private down(from: number): void {
    let at = from;
    const cls = this.heap[at] as number;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= this.heap.length) break;
      if (child + 1 < this.heap.length && this.before(this.heap[child + 1] as number, this.heap[child] as number))
        child++;
      if (!this.before(this.heap[child] as number, cls)) break;
      this.put(at, this.heap[child] as number);
      at = child;
    }
    this.put(at, cls);
  }

  private put(at: number, cls: number): void {
    this.heap[at] = cls;
    this.classes.place[cls] = at;
  }
}
