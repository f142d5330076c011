import { specKey } from '../core/records/index.ts';
import type { Store } from '../store/store.ts';

/** Bytes of specs that are kept at hand at most: what was submitted just now is mostly placed just now. */
const CACHE_BYTES = 16 * 1024 * 1024;

/** What names a job's spec. */
export interface SpecName {
  readonly account: string;
  readonly number: number;
}

/** Reads the specs of jobs that are placed: from memory when they were submitted a moment ago, else from the store. */
export class SpecReader {
  readonly #store: () => Store;
  /** Two generations: when the young one is full it becomes the old one, and what was old is gone. */
  #young = new Map<number, Uint8Array>();
  #old = new Map<number, Uint8Array>();
  #youngBytes = 0;

  /** `store`: the one that is open now. */
  constructor(store: () => Store) {
    this.#store = store;
  }

  /** A job was accepted: its spec is wanted soon. */
  remember(number: number, spec: Uint8Array): void {
    if (this.#youngBytes + spec.byteLength > CACHE_BYTES / 2) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#youngBytes = 0;
    }
    this.#young.set(number, spec);
    this.#youngBytes += spec.byteLength;
  }

  /** Numbers that were remembered may come to name other jobs: a commit failed. */
  clear(): void {
    this.#old = new Map();
    this.#young = new Map();
    this.#youngBytes = 0;
  }

  /** In the order of the names; undefined where the store has none. */
  async read(names: readonly SpecName[]): Promise<(Uint8Array | undefined)[]> {
    const specs = names.map(({ number }) => this.#young.get(number) ?? this.#old.get(number));
    const missing = names.flatMap((name, index) => (specs[index] === undefined ? [{ name, index }] : []));
    if (missing.length === 0) return specs;
    // Children of one array have one spec.
    const wanted = new Map(missing.map(({ name }) => [name.number, name]));
    const found = await this.#store().getMany([...wanted.values()].map((name) => specKey(name.account, name.number)));
    const byNumber = new Map([...wanted.keys()].map((number, at) => [number, found[at]]));
    for (const { name, index } of missing) specs[index] = byNumber.get(name.number);
    return specs;
  }
}
