import type { Input } from '../core/types.ts';
import type { TurnCore } from './turn-core.ts';
import { MAX_WAITING, MAX_WAITING_BYTES } from './turn-limits.ts';
import { TurnError } from './turns.ts';

/** Somebody who waits for a turn to be durable. */
export interface Waiting {
  release(): void;
  reject(error: Error): void;
}

/** An input on its way into a turn. */
export interface Arrival extends Waiting {
  readonly bytes: number;
  apply(core: TurnCore): void;
}

/** What has arrived and waits for its turn, in order and bounded. */
export class Arrivals {
  #items: Arrival[] = [];
  #head = 0;
  #bytes = 0;

  get count(): number {
    return this.#items.length - this.#head;
  }

  /** Throws `OVERLOADED` when too much waits. */
  add(arrival: Arrival): void {
    if (this.count >= MAX_WAITING) throw overloaded(`${MAX_WAITING} requests wait already`);
    if (this.#bytes + arrival.bytes > MAX_WAITING_BYTES) {
      throw overloaded(`requests of ${this.#bytes} bytes wait already, and at most ${MAX_WAITING_BYTES} may`);
    }
    this.#items.push(arrival);
    this.#bytes += arrival.bytes;
  }

  next(): Arrival | undefined {
    const item = this.#items[this.#head];
    if (item === undefined) return undefined;
    this.#head++;
    this.#bytes -= item.bytes;
    if (this.#head === this.#items.length) {
      this.#items = [];
      this.#head = 0;
    }
    return item;
  }

  /** Empties it and returns what waited. */
  takeAll(): Arrival[] {
    const items = this.#items.slice(this.#head);
    this.#items = [];
    this.#head = 0;
    this.#bytes = 0;
    return items;
  }
}

export function overloaded(detail: string): TurnError {
  return new TurnError('OVERLOADED', `the control plane is overloaded: ${detail}. Nothing was done; try again later.`);
}

/** What an object costs beside the bytes that it carries, roughly. */
const OBJECT_BYTES = 256;

/** About how much memory an input holds while it waits, in bytes. */
export function inputBytes(input: Input): number {
  switch (input.kind) {
    case 'submitJobs':
      return input.jobs.reduce((sum, job) => sum + OBJECT_BYTES + job.spec.byteLength, OBJECT_BYTES);
    case 'nodeConnected':
      return OBJECT_BYTES * (1 + input.attempts.length);
    case 'nodeReports':
      return OBJECT_BYTES * (1 + input.reports.length);
    case 'cancelJobs':
    case 'holdJobs':
    case 'releaseJobs':
      return OBJECT_BYTES + 16 * input.jobs.length;
    case 'registerDefinition':
      return OBJECT_BYTES + input.body.byteLength;
    case 'expire':
      return input.keys.reduce((sum, key) => sum + key.byteLength, OBJECT_BYTES);
    default:
      return OBJECT_BYTES;
  }
}
