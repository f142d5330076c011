import type { LoggedBatch } from './memory-disk.ts';
import { MemoryDisk } from './memory-disk.ts';
import type { Position } from './store.ts';
import { StoreError } from './store.ts';

export { openMemoryStore as openFaultyStore } from './memory-store.ts';

/**
 * The ways in which LevelDB was seen to fail (reproduced on the real one in lost-batches.test.ts and full-disk.test.ts):
 *
 * - `append`: the write fails and leaves a torn record. What the handle still appends to this log is acknowledged and
 *   gone after reopening. (A store's handle is dead by then; one opened with `survivesFailedWrite` goes on.)
 * - `sync`: the write fails, but the batch is there after reopening. LevelDB itself refuses all later writes.
 * - `full`: refused before anything was written.
 */
export type CommitFault = 'append' | 'sync' | 'full';

/**
 * - `full`: opening is refused; nothing is lost.
 * - `lost-tail`: the last `batches` of the log are gone.
 * - `hole`: `batches` of the log are gone, beginning with the one at index `from`.
 */
export type OpenFault =
  | { readonly kind: 'full' }
  | { readonly kind: 'lost-tail'; readonly batches: number }
  | { readonly kind: 'hole'; readonly from: number; readonly batches: number };

/** Decides what goes wrong; an absent decision lets nothing go wrong. Deterministic if its decisions are. */
export interface Faults {
  /** Asked before each batch is written. */
  commit?(position: Position): CommitFault | undefined;
  /** Asked at each opening. `logged`: the number of batches that the log holds and could lose. */
  open?(logged: number): OpenFault | undefined;
  /** Whether HEAD is written after this batch: it trails the store by up to a second. */
  witness?(position: Position): boolean;
}

/** A memory disk that fails as its `faults` decide. Without faults it is a `MemoryDisk`. */
export class FaultyDisk extends MemoryDisk {
  readonly #faults: Faults;
  /** The log has a torn record: recovery finds nothing of what is appended behind it. */
  #torn = false;
  /** LevelDB latches a failed sync and refuses every later write. */
  #latched = false;

  constructor(options: { clusterId: string; faults?: Faults }) {
    super(options);
    this.#faults = options.faults ?? {};
  }

  override append(batch: LoggedBatch): void {
    if (this.#latched) throw new Error('an earlier sync failed');
    switch (this.#faults.commit?.(batch.position)) {
      case 'full':
        throw new StoreError('FULL', 'the memory disk is full. Make room and commit again.');
      case 'append':
        this.#torn = true;
        throw new Error('the append failed');
      case 'sync':
        this.#latched = true;
        if (!this.#torn) super.append(batch);
        throw new Error('the sync failed');
      case undefined:
        if (!this.#torn) super.append(batch);
    }
  }

  override acknowledged(position: Position): void {
    if (this.#faults.witness?.(position) ?? true) super.acknowledged(position);
  }

  protected override surviving(log: LoggedBatch[]): LoggedBatch[] {
    const fault = this.#faults.open?.(log.length);
    if (fault?.kind === 'full') {
      throw new StoreError('FULL', 'the memory disk is too full to open the store. Make room and open again.');
    }
    // Opening begins a new log.
    this.#torn = false;
    this.#latched = false;
    if (fault === undefined) return log;
    if (fault.kind === 'lost-tail') return log.slice(0, Math.max(0, log.length - fault.batches));
    return log.toSpliced(fault.from, fault.batches);
  }
}

/** How often each fault happens, as a probability from 0 to 1; absent means never. */
export interface FaultRates {
  readonly append?: number;
  readonly sync?: number;
  readonly full?: number;
  readonly fullAtOpen?: number;
  readonly lostTail?: number;
  readonly hole?: number;
  /** HEAD is not written after a batch. */
  readonly witnessLags?: number;
}

/** Faults at random. `random` returns numbers from 0 (included) to 1 (excluded): with a seeded one a run can be replayed. */
export function randomFaults(random: () => number, rates: FaultRates): Faults {
  return {
    commit: () =>
      pick<CommitFault>(random(), [
        ['append', rates.append ?? 0],
        ['sync', rates.sync ?? 0],
        ['full', rates.full ?? 0],
      ]),
    open: (logged) => {
      const kind = pick<OpenFault['kind']>(random(), [
        ['full', rates.fullAtOpen ?? 0],
        ['lost-tail', rates.lostTail ?? 0],
        ['hole', rates.hole ?? 0],
      ]);
      // Both are drawn in any case, so that a changed rate does not shift everything that is drawn later.
      const first = Math.floor(random() * logged);
      const batches = 1 + Math.floor(random() * (logged - first));
      if (kind === 'full') return { kind };
      if (kind === undefined || logged === 0) return undefined;
      return kind === 'lost-tail' ? { kind, batches } : { kind, from: first, batches };
    },
    witness: () => random() >= (rates.witnessLags ?? 0),
  };
}

function pick<T>(drawn: number, choices: readonly (readonly [T, number])[]): T | undefined {
  let bound = 0;
  for (const [choice, probability] of choices) {
    bound += probability;
    if (drawn < bound) return choice;
  }
  return undefined;
}
