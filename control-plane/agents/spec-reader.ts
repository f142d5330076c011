import { specKey } from '../core/records/index.ts';
import type { Store } from '../store/store.ts';

/** Bytes of specs that are kept at hand: what was submitted just now is mostly placed just now. */
const CACHE_BYTES = 16 * 1024 * 1024;

/** What names a job's spec. */
export interface SpecName {
  readonly account: string;
  readonly number: number;
}

/** Reads the specs of jobs that are placed: from memory when they were submitted a moment ago, else from the store. */
export class SpecReader {
  readonly #store: () => Store;
  readonly #cache = new Map<number, Uint8Array>();
  #bytes = 0;

  /** `store`: the one that is open now. */
  constructor(store: () => Store) {
    this.#store = store;
  }

  /** A job was accepted: its spec is wanted soon. Kept once; the oldest give way. */
  remember(number: number, spec: Uint8Array): void {
    if (this.#cache.has(number) || spec.byteLength > CACHE_BYTES) return;
    this.#cache.set(number, spec);
    this.#bytes += spec.byteLength;
    for (const oldest of this.#cache.keys()) {
      if (this.#bytes <= CACHE_BYTES) return;
      this.#take(oldest);
    }
  }

  /** Numbers that were remembered may come to name other jobs: a commit failed. */
  clear(): void {
    this.#cache.clear();
    this.#bytes = 0;
  }

  /** In the order of the names; undefined where the store has none. */
  async read(names: readonly SpecName[]): Promise<(Uint8Array | undefined)[]> {
    const specs = names.map(({ number }) => this.#take(number));
    const missing = names.flatMap((name, index) => (specs[index] === undefined ? [{ name, index }] : []));
    if (missing.length === 0) return specs;
    const found = await this.#store().getMany(missing.map(({ name }) => specKey(name.account, name.number)));
    for (const [at, { index }] of missing.entries()) specs[index] = found[at];
    return specs;
  }

  /** A spec is placed once, mostly: it leaves with its first reader. */
  #take(number: number): Uint8Array | undefined {
    const spec = this.#cache.get(number);
    if (spec === undefined) return undefined;
    this.#cache.delete(number);
    this.#bytes -= spec.byteLength;
    return spec;
  }
}
