import { assert, known } from '../assert.ts';
import type { Requirements } from '../types.ts';
import { Interner } from './interner.ts';
import { NONE } from './job-table.ts';
import { mix, RowIndex } from './row-index.ts';

/** The most classes that may be alive at a time. */
export const MAX_CLASSES = 4_000_000;

/**
 * Job classes: all live jobs of a queue that the scheduler cannot tell apart (same priority, same requirements). A class
 * lives as long as a job refers to it.
 */
export class ClassTable {
  /** Queue index, and the job's own priority within it. */
  readonly queue: number[] = [];
  readonly priority: number[] = [];
  readonly milliVcpu: number[] = [];
  readonly memoryBytes: number[] = [];
  /** Interned `named` and `features`. */
  readonly extra: number[] = [];
  /** Ready jobs: the list in order, and the heap of those that came out of order. */
  readonly head: number[] = [];
  readonly tail: number[] = [];
  readonly heap: (number[] | undefined)[] = [];
  readonly ready: number[] = [];
  /** Place in its queue's heap of classes with ready jobs, or NONE. */
  readonly place: number[] = [];
  /** Did not fit when it was last tried; waits for capacity. */
  readonly parked: boolean[] = [];
  /** Never used twice, unlike the row. */
  readonly serial: number[] = [];
  private serials = 0;
  private readonly references: number[] = [];
  private readonly free: number[] = [];
  private readonly extras = new Interner<Pick<Requirements, 'named' | 'features'>>();
  private readonly index = new RowIndex((row) => this.hash(row));

  get size(): number {
    return this.index.size;
  }

  /** Whether a class of these requirements could be made. */
  hasRoomFor(requirements: Requirements): boolean {
    return this.index.size < MAX_CLASSES && this.extras.hasRoomFor(extraKey(requirements));
  }

  /** The class, made when it is new, with one more reference. */
  acquire(queue: number, priority: number, requirements: Requirements): number {
    const extra = this.extras.acquire(extraKey(requirements), () => ({
      named: requirements.named,
      features: requirements.features,
    }));
    const { milliVcpu, memoryBytes } = requirements;
    const found = this.index.find(classHash(queue, priority, milliVcpu, memoryBytes, extra), (row) => {
      return (
        this.queue[row] === queue &&
        this.priority[row] === priority &&
        this.milliVcpu[row] === milliVcpu &&
        this.memoryBytes[row] === memoryBytes &&
        this.extra[row] === extra
      );
    });
    if (found !== NONE) {
      // The class holds a reference of its own to the extra; one is enough.
      this.extras.release(extra);
      this.references[found] = known(this.references[found], 'class') + 1;
      return found;
    }
    assert(this.index.size < MAX_CLASSES, `there are ${MAX_CLASSES} job classes`);
    const row = this.free.pop() ?? this.queue.length;
    this.queue[row] = queue;
    this.priority[row] = priority;
    this.milliVcpu[row] = milliVcpu;
    this.memoryBytes[row] = memoryBytes;
    this.extra[row] = extra;
    this.head[row] = NONE;
    this.tail[row] = NONE;
    this.heap[row] = undefined;
    this.ready[row] = 0;
    this.place[row] = NONE;
    this.parked[row] = false;
    this.serial[row] = ++this.serials;
    this.references[row] = 1;
    this.index.insert(row);
    return row;
  }

  /** Gives back one reference; true when that was the last and the class is gone. */
  release(row: number): boolean {
    const left = known(this.references[row], 'class') - 1;
    assert(left >= 0, `class ${row} was released too often`);
    this.references[row] = left;
    if (left > 0) return false;
    assert(
      this.ready[row] === 0 && this.place[row] === NONE && !this.parked[row],
      `class ${row} is released but still queued`,
    );
    this.index.remove(row);
    this.extras.release(known(this.extra[row], 'extra'));
    this.free.push(row);
    return true;
  }

  requirements(row: number): Requirements {
    const { named, features } = this.extras.get(known(this.extra[row], 'class'));
    return { milliVcpu: this.milliVcpu[row] as number, memoryBytes: this.memoryBytes[row] as number, named, features };
  }

  /** Classes in use. */
  *all(): Generator<number> {
    for (let row = 0; row < this.queue.length; row++) if ((this.references[row] as number) > 0) yield row;
  }

  referencesTo(row: number): number {
    return this.references[row] as number;
  }

  private hash(row: number): number {
    return classHash(
      this.queue[row] as number,
      this.priority[row] as number,
      this.milliVcpu[row] as number,
      this.memoryBytes[row] as number,
      this.extra[row] as number,
    );
  }
}

function classHash(queue: number, priority: number, milliVcpu: number, memoryBytes: number, extra: number): number {
  let hash = mix(queue, priority);
  hash = mix(hash, milliVcpu);
  hash = mix(hash, Math.floor(memoryBytes / 2 ** 32));
  return mix(mix(hash, memoryBytes >>> 0), extra);
}

function extraKey({ named, features }: Requirements): string {
  return `${named.map(({ name, count }) => `${name}=${count}`).join(',')};${features.join(',')}`;
}
