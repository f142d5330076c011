import type { Change, Entry } from './store.ts';

/** A chunk is split when it grows beyond this many entries. */
const CHUNK_ENTRIES = 256;

type Chunk = readonly Entry[];

/**
 * An immutable map ordered by key bytes: `with` returns a new one that shares what did not change, so that a snapshot
 * is a reference. Sorted chunks in one list: a change copies one chunk, a batch copies the list once.
 */
export class OrderedMap {
  static readonly EMPTY = new OrderedMap([]);
  readonly #chunks: readonly Chunk[];

  private constructor(chunks: readonly Chunk[]) {
    this.#chunks = chunks;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    const chunk = this.#chunks[chunkOf(this.#chunks, key)];
    const entry = chunk?.[lowerBound(chunk, key)];
    return entry !== undefined && Buffer.compare(entry.key, key) === 0 ? entry.value : undefined;
  }

  /** The map after the changes, applied in order. It keeps the bytes that it was given. */
  with(changes: readonly Change[]): OrderedMap {
    const chunks = [...this.#chunks];
    // Chunks made here are seen by nobody else yet, so they may be changed in place.
    const own = new Set<Chunk>();
    for (const change of changes) {
      const index = chunkOf(chunks, change.key);
      const shared = chunks[index] ?? [];
      const chunk = own.has(shared) ? (shared as Entry[]) : [...shared];
      own.add(chunk);
      applyTo(chunk, change);
      if (chunk.length === 0) chunks.splice(index, 1);
      else if (chunk.length <= CHUNK_ENTRIES) chunks[index] = chunk;
      else {
        const half = chunk.splice(CHUNK_ENTRIES / 2);
        own.add(half);
        chunks.splice(index, 1, chunk, half);
      }
    }
    return new OrderedMap(chunks);
  }

  /** The entries from `gte` (included) to `lt` (excluded). */
  *range(gte: Uint8Array, lt: Uint8Array, reverse: boolean): Generator<Entry, void, undefined> {
    if (Buffer.compare(gte, lt) >= 0) return;
    const first = chunkOf(this.#chunks, gte);
    const last = chunkOf(this.#chunks, lt);
    const step = reverse ? -1 : 1;
    for (let index = reverse ? last : first; index >= first && index <= last; index += step) {
      const chunk = this.#chunks[index] ?? [];
      const from = lowerBound(chunk, gte);
      const to = lowerBound(chunk, lt);
      const part = chunk.slice(from, to);
      yield* reverse ? part.toReversed() : part;
    }
  }
}

function applyTo(chunk: Entry[], { key, value }: Change): void {
  const index = lowerBound(chunk, key);
  const there = chunk[index];
  const replaced = there !== undefined && Buffer.compare(there.key, key) === 0 ? 1 : 0;
  if (value === undefined) chunk.splice(index, replaced);
  else chunk.splice(index, replaced, { key, value });
}

/** The last chunk whose first key is not above `key`, or 0. */
function chunkOf(chunks: readonly Chunk[], key: Uint8Array): number {
  let low = 0;
  let high = chunks.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    const first = chunks[middle]?.[0];
    if (first !== undefined && Buffer.compare(first.key, key) <= 0) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** The index of the first entry whose key is not below `key`. */
function lowerBound(chunk: Chunk, key: Uint8Array): number {
  let low = 0;
  let high = chunk.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const entry = chunk[middle];
    if (entry !== undefined && Buffer.compare(entry.key, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
