import { ChunkIndex, IndexDamage } from './chunk-index.ts';
import { LogStoreError } from './log-store.ts';
import type { CompiledOptions } from './options.ts';
import { catchUp, describe, openIndex } from './recovery.ts';
import type { SegmentInfo, SegmentPosition } from './segments.ts';

export interface ReadyIndex {
  readonly index: ChunkIndex;
  /** See `StreamSource.holesBefore`. */
  readonly holesBefore: number;
}

/**
 * Keeps an index that can be trusted, or none.
 *
 *     ready --failed--> down (rebuild: the error says that its content is wrong) --repair--> ready
 *
 * While it is down nothing is written, because admitting a chunk needs the known end.
 */
type State =
  | ({ readonly kind: 'ready' } & ReadyIndex)
  | { readonly kind: 'down'; readonly index: ChunkIndex | undefined; readonly rebuild: boolean };

export class IndexKeeper {
  readonly #options: CompiledOptions;
  readonly #segments: readonly SegmentInfo[];
  #state: State = { kind: 'down', index: undefined, rebuild: false };

  constructor(options: CompiledOptions, segments: readonly SegmentInfo[]) {
    this.#options = options;
    this.#segments = segments;
  }

  get ready(): ReadyIndex | undefined {
    return this.#state.kind === 'ready' ? this.#state : undefined;
  }

  /** An operation on `index` failed; it is not used again. */
  failed(index: ChunkIndex, error: unknown): void {
    if (this.#state.kind === 'ready' && this.#state.index === index) {
      this.#options.warn(`the log index failed and is opened again: ${describe(error)}`);
      this.#state = { kind: 'down', index, rebuild: error instanceof IndexDamage || isCorruption(error) };
    }
  }

  /**
   * The caller keeps writers out. `beforeCatchUp` may still shorten the last segment; `from` is where reading begins.
   * Returns true when the index was opened anew. Rejects with `UNAVAILABLE` or `LOCKED`.
   */
  async repair(beforeCatchUp: (from: SegmentPosition) => Promise<void> = async () => {}): Promise<boolean> {
    if (this.#state.kind === 'ready') {
      return false;
    }
    const { index: broken, rebuild } = this.#state;
    const { directory, warn } = this.#options;
    let opened: ChunkIndex | undefined;
    try {
      await broken?.close();
      if (rebuild) {
        await ChunkIndex.destroy(directory);
      }
      const { index, from, rebuilt } = await openIndex(directory, this.#segments, (reason) => {
        warn(`the log index is rebuilt from ${this.#segments.length} segments: ${reason}`);
      });
      opened = index;
      await beforeCatchUp(from);
      await catchUp(directory, index, this.#segments, from);
      if (rebuilt) {
        await index.setHolesBefore((this.#segments.at(-1)?.number ?? 0) + 1);
      }
      this.#state = { kind: 'ready', index, holesBefore: await index.holesBefore() };
      return true;
    } catch (error) {
      this.#state = { kind: 'down', index: opened, rebuild: rebuild || isCorruption(error) };
      if (!rebuild && isCorruption(error)) {
        warn(`the log index is damaged and is rebuilt: ${describe(error)}`);
        return await this.repair(beforeCatchUp);
      }
      if (error instanceof LogStoreError) {
        throw error;
      }
      throw new LogStoreError('UNAVAILABLE', `the log index cannot be opened: ${describe(error)}`, { cause: error });
    }
  }

  async close(): Promise<void> {
    const { index } = this.#state;
    this.#state = { kind: 'down', index: undefined, rebuild: false };
    await index?.close();
  }
}

const isCorruption = (error: unknown): boolean =>
  error instanceof Error &&
  (('code' in error && error.code === 'LEVEL_CORRUPTION') || /corrupt/i.test(describe(error)));
