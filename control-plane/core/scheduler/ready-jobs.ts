import { assert } from '../assert.ts';
import type { ClassTable } from '../tables/class-table.ts';
import { JobFlag, type JobTable, NONE } from '../tables/job-table.ts';

/**
 * The ready jobs of each class, in the order of their numbers. Jobs nearly always become ready in that order and are
 * appended to a linked list; one that comes out of order (tried again, released late) goes to a small heap beside it.
 */
export class ReadyJobs {
  private readonly jobs: JobTable;
  private readonly classes: ClassTable;

  constructor(jobs: JobTable, classes: ClassTable) {
    this.jobs = jobs;
    this.classes = classes;
  }

  /** The first ready job of a class, or NONE. */
  head(cls: number): number {
    const listed = this.classes.head[cls] as number;
    const heaped = this.classes.heap[cls]?.[0] ?? NONE;
    if (listed === NONE || heaped === NONE) return listed === NONE ? heaped : listed;
    return this.order(listed) < this.order(heaped) ? listed : heaped;
  }

  add(row: number): void {
    const { jobs, classes } = this;
    assert(!jobs.has(row, JobFlag.ready), `row ${row} is ready already`);
    const cls = jobs.get('class', row);
    const tail = classes.tail[cls] as number;
    if (tail === NONE || this.order(tail) < this.order(row)) {
      jobs.set('previous', row, tail);
      jobs.set('next', row, NONE);
      if (tail === NONE) classes.head[cls] = row;
      else jobs.set('next', tail, row);
      classes.tail[cls] = row;
    } else {
      classes.heap[cls] ??= [];
      const heap = classes.heap[cls];
      heap.push(row);
      jobs.setFlag(row, JobFlag.inHeap, true);
      this.up(heap, heap.length - 1);
    }
    jobs.setFlag(row, JobFlag.ready, true);
    classes.ready[cls] = (classes.ready[cls] as number) + 1;
  }

  remove(row: number): void {
    const { jobs, classes } = this;
    assert(jobs.has(row, JobFlag.ready), `row ${row} is not ready`);
    const cls = jobs.get('class', row);
    if (jobs.has(row, JobFlag.inHeap)) this.removeFromHeap(cls, row);
    else this.unlink(cls, row);
    jobs.setFlag(row, JobFlag.ready, false);
    classes.ready[cls] = (classes.ready[cls] as number) - 1;
  }

  /** Ready jobs of a class, in order. */
  *inOrder(cls: number): Generator<number> {
    const heaped = [...(this.classes.heap[cls] ?? [])].sort((a, b) => this.order(a) - this.order(b));
    let at = 0;
    for (let row = this.classes.head[cls] as number; row !== NONE; row = this.jobs.get('next', row)) {
      while (at < heaped.length && this.order(heaped[at] as number) < this.order(row)) yield heaped[at++] as number;
      yield row;
    }
    while (at < heaped.length) yield heaped[at++] as number;
  }

  private order(row: number): number {
    return this.jobs.get('number', row);
  }

  private unlink(cls: number, row: number): void {
    const { jobs, classes } = this;
    const previous = jobs.get('previous', row);
    const next = jobs.get('next', row);
    if (previous === NONE) classes.head[cls] = next;
    else jobs.set('next', previous, next);
    if (next === NONE) classes.tail[cls] = previous;
    else jobs.set('previous', next, previous);
  }

  private removeFromHeap(cls: number, row: number): void {
    const heap = this.classes.heap[cls] as number[];
    const at = this.jobs.get('next', row);
    const last = heap.pop() as number;
    if (last !== row) {
      heap[at] = last;
      this.jobs.set('next', last, at);
      this.up(heap, at);
      this.down(heap, this.jobs.get('next', last));
    }
    if (heap.length === 0) this.classes.heap[cls] = undefined;
    this.jobs.setFlag(row, JobFlag.inHeap, false);
  }

  private up(heap: number[], from: number): void {
    let at = from;
    const row = heap[at] as number;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.order(heap[parent] as number) <= this.order(row)) break;
      this.put(heap, at, heap[parent] as number);
      at = parent;
    }
    this.put(heap, at, row);
  }

  private down(heap: number[], from: number): void {
    let at = from;
    const row = heap[at] as number;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && this.order(heap[child + 1] as number) < this.order(heap[child] as number)) child++;
      if (this.order(row) <= this.order(heap[child] as number)) break;
      this.put(heap, at, heap[child] as number);
      at = child;
    }
    this.put(heap, at, row);
  }

  private put(heap: number[], at: number, row: number): void {
    heap[at] = row;
    this.jobs.set('next', row, at);
  }
}
