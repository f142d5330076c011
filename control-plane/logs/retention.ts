import { stat } from 'node:fs/promises';
import { indexKey } from './index-codec.ts';
import type { IndexKeeper } from './index-keeper.ts';
import { LogStoreError, type RetentionResult } from './log-store.ts';
import type { Mutex } from './mutex.ts';
import type { CompiledOptions } from './options.ts';
import { RecordKind } from './record.ts';
import { scanFile } from './recovery.ts';
import type { Scanned } from './scan.ts';
import { SEGMENT_HEADER_BYTES, type SegmentInfo, type SegmentSet, segmentPath } from './segments.ts';

/** Index entries removed in one hold of the mutex: writers wait for no more than that. */
const SLICE_RECORDS = 1000;
export const DEFAULT_RETENTION_RECORDS = 50_000;

type ScannedRecord = Extract<Scanned, { kind: 'record' }>;

/** Drops segments from the oldest on: first their index entries, slice by slice, then the file. */
export class Retention {
  readonly #options: CompiledOptions;
  readonly #segments: SegmentSet;
  readonly #keeper: IndexKeeper;
  readonly #mutex: Mutex;
  /** Calls run one after another, and apart from the writer's turns. */
  readonly #calls: Mutex;
  /** How far the oldest segment's entries are removed already. */
  #progress: { readonly segment: number; readonly position: number } | undefined;

  constructor(
    parts: { options: CompiledOptions; segments: SegmentSet; keeper: IndexKeeper; mutex: Mutex },
    calls: Mutex,
  ) {
    this.#options = parts.options;
    this.#segments = parts.segments;
    this.#keeper = parts.keeper;
    this.#mutex = parts.mutex;
    this.#calls = calls;
  }

  deleteBefore(timeMs: number, maxRecords: number): Promise<RetentionResult> {
    return this.#calls.run(async () => {
      const result = { segments: 0, bytes: 0, records: 0 };
      for (;;) {
        const oldest = await this.#mutex.run(() => this.#candidate(timeMs));
        if (!oldest) {
          return { ...result, done: true };
        }
        const records = await this.#removeEntries(oldest, maxRecords - result.records);
        result.records += records.removed;
        if (!records.done) {
          return { ...result, done: false };
        }
        await this.#mutex.run(() => this.#segments.remove(oldest));
        result.segments++;
        result.bytes += oldest.bytes;
      }
    });
  }

  /** The oldest segment when it must go. One that still takes records is sealed first. */
  async #candidate(timeMs: number): Promise<SegmentInfo | undefined> {
    const { list, directory } = this.#segments;
    const [oldest] = list;
    if (!oldest || (list.length === 1 && oldest.bytes <= SEGMENT_HEADER_BYTES)) {
      return undefined;
    }
    const { mtimeMs } = await stat(segmentPath(directory, oldest.number));
    const tooMuch = list.length > 1 && this.#segments.bytes > this.#options.maxBytes;
    if (mtimeMs >= timeMs && !tooMuch) {
      return undefined;
    }
    if (list.length === 1) {
      await this.#segments.roll();
    }
    this.#segments.firstKept = oldest.number + 1;
    return oldest;
  }

  async #removeEntries(segment: SegmentInfo, budget: number): Promise<{ removed: number; done: boolean }> {
    const { directory } = this.#segments;
    const from = this.#progress?.segment === segment.number ? this.#progress.position : SEGMENT_HEADER_BYTES;
    let removed = 0;
    let slice: ScannedRecord[] = [];
    const flush = async (): Promise<void> => {
      const records = slice;
      slice = [];
      await this.#mutex.run(() => this.#removeSlice(segment.number, records));
      removed += records.length;
      const last = records.at(-1);
      if (last) {
        this.#progress = { segment: segment.number, position: last.position + last.size };
      }
    };
    for await (const scanned of scanFile(directory, segment, from)) {
      if (removed + slice.length >= budget) {
        await flush();
        return { removed, done: false };
      }
      if (scanned.kind === 'record') {
        slice.push(scanned);
      }
      if (slice.length >= SLICE_RECORDS) {
        await flush();
      }
    }
    await flush();
    return { removed, done: true };
  }

  async #removeSlice(segment: number, records: readonly ScannedRecord[]): Promise<void> {
    const ready = this.#keeper.ready;
    if (!ready) {
      throw new LogStoreError('UNAVAILABLE', 'the log index is not open');
    }
    const keys = records.map(({ header }) =>
      indexKey(header.ref, header.kind === RecordKind.end ? 'end' : header.stream, header.offset),
    );
    try {
      // An end that was reported again stands in a later segment and stays.
      const entries = await ready.index.getMany(keys);
      await ready.index.delete(keys.filter((_, index) => entries[index]?.segment === segment));
    } catch (error) {
      this.#keeper.failed(ready.index, error);
      this.#progress = undefined;
      throw new LogStoreError('UNAVAILABLE', `the log index failed: ${String(error)}`, { cause: error });
    }
  }
}
