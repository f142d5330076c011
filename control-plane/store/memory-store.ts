import { callerRange, checkCommit } from './commit-rules.ts';
import type { MemoryDisk } from './memory-disk.ts';
import type { OrderedMap } from './ordered-map.ts';
import { PAGE_BYTES, PAGE_ENTRIES } from './paging.ts';
import type { Change, Entry, Integrity, Position, ScanRange, Store } from './store.ts';
import { StoreError } from './store.ts';

export { MemoryDisk } from './memory-disk.ts';

export interface MemoryStoreOptions {
  /** What a commit waits for before its batch is durable. A simulation gives its clock. Default: a microtask. */
  readonly sync?: () => Promise<void>;
  /**
   * A handle that does not die of a failed write, as LevelDB's own does not: what a control plane would have without the
   * rule. For tests that show that the rule is needed. Default false.
   */
  readonly survivesFailedWrite?: boolean;
}

/** Opens the store on a memory disk. Rejects as `openStore` does. */
export async function openMemoryStore(disk: MemoryDisk, options: MemoryStoreOptions = {}): Promise<MemoryStore> {
  return new MemoryStore(disk, options);
}

/** The store in memory, for tests and the simulation: what a `LevelStore` does, without a disk. */
export class MemoryStore implements Store {
  readonly clusterId: string;
  readonly #disk: MemoryDisk;
  readonly #sync: () => Promise<void>;
  readonly #survivesFailedWrite: boolean;
  #state: 'live' | 'dead' | 'closed' = 'live';
  #records: OrderedMap;
  #position: Position;
  #integrity: Integrity;
  #committing: Promise<void> | undefined;

  constructor(disk: MemoryDisk, options: MemoryStoreOptions) {
    const { records, position, integrity } = disk.open(this);
    this.clusterId = disk.clusterId;
    this.#disk = disk;
    this.#sync = options.sync ?? (() => Promise.resolve());
    this.#survivesFailedWrite = options.survivesFailedWrite ?? false;
    this.#records = records;
    this.#position = position;
    this.#integrity = integrity;
  }

  get position(): Position {
    return this.#position;
  }

  get integrity(): Integrity {
    return this.#integrity;
  }

  commit(position: Position, changes: readonly Change[]): Promise<void> {
    if (!this.#live) return Promise.reject(deadError());
    if (this.#committing !== undefined) throw new Error('a commit is already in flight');
    checkCommit(this.#position, this.#integrity, position, changes);
    const committing = this.#commit({ ...position }, changes.map(copyChange)).finally(() => {
      this.#committing = undefined;
    });
    this.#committing = committing;
    return committing;
  }

  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    this.#requireLive();
    return copyBytes(this.#records.get(key));
  }

  async getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    this.#requireLive();
    return keys.map((key) => copyBytes(this.#records.get(key)));
  }

  async *scan(range: ScanRange, options: { pageBytes?: number } = {}): AsyncGenerator<Entry[], void, undefined> {
    this.#requireLive();
    const bounds = callerRange(range);
    if (bounds === undefined) return;
    const pageBytes = options.pageBytes ?? PAGE_BYTES;
    let page: Entry[] = [];
    let bytes = 0;
    for (const { key, value } of this.#records.range(bounds.gte, bounds.lt, range.reverse ?? false)) {
      page.push({ key: new Uint8Array(key), value: new Uint8Array(value) });
      bytes += key.byteLength + value.byteLength;
      if (bytes < pageBytes && page.length < PAGE_ENTRIES) continue;
      yield page;
      this.#requireLive();
      page = [];
      bytes = 0;
    }
    if (page.length > 0) yield page;
  }

  async close(): Promise<void> {
    this.#state = 'closed';
    await Promise.allSettled([this.#committing]);
    this.#disk.close(this);
  }

  async #commit(position: Position, changes: readonly Change[]): Promise<void> {
    try {
      this.#disk.append({ position, changes });
    } catch (error) {
      if (error instanceof StoreError && error.code === 'FULL') throw error;
      if (!this.#survivesFailedWrite) this.#state = 'dead';
      throw new StoreError('WRITE_FAILED', 'the batch was not acknowledged; it may or may not be there', {
        cause: error,
      });
    }
    await this.#sync();
    // The owner was killed meanwhile: whether the batch is there, the next opening says.
    if (!this.#disk.holds(this)) throw deadError();
    this.#records = this.#records.with(changes);
    this.#position = position;
    this.#integrity = { kind: 'whole' };
    this.#disk.acknowledged(position);
  }

  get #live(): boolean {
    return this.#state === 'live' && this.#disk.holds(this);
  }

  #requireLive(): void {
    if (!this.#live) throw deadError();
  }
}

function deadError(): StoreError {
  return new StoreError('DEAD', 'the memory store is closed, or a write failed earlier: open it again.');
}

function copyChange({ key, value }: Change): Change {
  return { key: new Uint8Array(key), value: copyBytes(value) };
}

/** Buffers' own slice would be a view. */
function copyBytes(bytes: Uint8Array | undefined): Uint8Array | undefined {
  return bytes && new Uint8Array(bytes);
}
