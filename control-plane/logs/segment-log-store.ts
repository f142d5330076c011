import { mkdir, realpath, stat, statfs } from 'node:fs/promises';
import { type AttemptState, chunkLength, finalLength } from './admission.ts';
import { Attempts, attemptKey } from './attempts.ts';
import type { ChunkIndex } from './chunk-index.ts';
import { IndexKeeper, type ReadyIndex } from './index-keeper.ts';
import {
  type AppendResult,
  type AttemptRef,
  DEFAULT_READ_BYTES,
  type FollowOptions,
  type LogChunk,
  type LogStore,
  LogStoreError,
  type LogUsage,
  MAX_READ_BYTES,
  MAX_TAIL_BYTES,
  type ReadRequest,
  type ReadResult,
  type RetentionBudget,
  type RetentionResult,
  type StreamKind,
  type StreamLength,
  type TailRequest,
} from './log-store.ts';
import { Mutex } from './mutex.ts';
import { type CompiledOptions, compileOptions, type LogStoreOptions } from './options.ts';
import { readChunks, type StreamSource, tailStart } from './reader.ts';
import { streamIndex } from './record.ts';
import { wholeEnd } from './recovery.ts';
import { DEFAULT_RETENTION_RECORDS, Retention } from './retention.ts';
import { listSegments, SEGMENT_HEADER_BYTES, SegmentSet, segmentPath } from './segments.ts';
import { checkChunks, checkInteger, checkRef, checkStream, MAX_OFFSET } from './validate.ts';
import { LogWriter } from './writer.ts';

/** Directories that this process has open: LevelDB's own lock does not hold within a process. */
const openDirectories = new Set<string>();

/**
 * The log store on append-only segment files with an index in LevelDB. The segments are the truth: an append is written,
 * synced and then indexed, and the index can be lost at any time.
 */
export class SegmentLogStore implements LogStore {
  readonly #options: CompiledOptions;
  readonly #segments: SegmentSet;
  readonly #keeper: IndexKeeper;
  readonly #attempts = new Attempts();
  readonly #mutex = new Mutex();
  readonly #writer: LogWriter;
  readonly #retention: Retention;
  readonly #retentionCalls = new Mutex();
  readonly #release: () => void;
  #closing: Promise<void> | undefined;

  private constructor(options: CompiledOptions, segments: SegmentSet, keeper: IndexKeeper, release: () => void) {
    this.#options = options;
    this.#segments = segments;
    this.#keeper = keeper;
    this.#release = release;
    const parts = { options, segments, keeper, attempts: this.#attempts, mutex: this.#mutex };
    this.#retention = new Retention(parts, this.#retentionCalls);
    this.#writer = new LogWriter(parts, () => this.#keepSize());
  }

  /** Repairs what a crash left. Rejects with `LOCKED`, `FORMAT`, `INVALID`, `UNAVAILABLE` or the file system's error. */
  static async open(options: LogStoreOptions): Promise<SegmentLogStore> {
    const compiled = compileOptions(options);
    await mkdir(compiled.directory, { recursive: true, mode: 0o700 });
    const path = await realpath(compiled.directory);
    if (openDirectories.has(path)) {
      throw new LogStoreError('LOCKED', `${compiled.directory}: this process has this log store open already`);
    }
    openDirectories.add(path);
    const release = (): void => {
      openDirectories.delete(path);
    };
    try {
      const { segments, keeper } = await openParts(compiled);
      return new SegmentLogStore(compiled, segments, keeper, release);
    } catch (error) {
      release();
      throw error;
    }
  }

  async append(chunks: readonly LogChunk[]): Promise<AppendResult> {
    this.#checkOpen();
    return await this.#writer.append(chunks, checkChunks(chunks));
  }

  async end(ref: AttemptRef, finalLengths: Readonly<Partial<Record<StreamKind, number>>>): Promise<void> {
    this.#checkOpen();
    checkRef(ref);
    for (const [stream, length] of Object.entries(finalLengths)) {
      checkStream(stream as StreamKind);
      checkInteger(`final length of ${stream}`, length, 0, MAX_OFFSET);
    }
    await this.#writer.end(ref, finalLengths);
  }

  async read({ ref, stream, offset, maxBytes = DEFAULT_READ_BYTES }: ReadRequest): Promise<ReadResult> {
    checkRef(ref);
    checkStream(stream);
    checkInteger('offset', offset, 0, MAX_OFFSET);
    checkInteger('maxBytes', maxBytes, 1, MAX_READ_BYTES);
    return await this.#withIndex(async (ready) => {
      const state = await this.#state(ready.index, ref);
      return await this.#page(this.#source(ready, ref, stream), state, offset, maxBytes);
    });
  }

  async tail({ ref, stream, last }: TailRequest): Promise<ReadResult> {
    checkRef(ref);
    checkStream(stream);
    checkLast(last);
    return await this.#withIndex(async (ready) => {
      const state = await this.#state(ready.index, ref);
      const source = this.#source(ready, ref, stream);
      const start = await tailStart(source, state.known[streamIndex(stream)], last);
      return await this.#page(source, state, start, MAX_TAIL_BYTES);
    });
  }

  async *follow(ref: AttemptRef, { stream, from = { offset: 0 }, signal }: FollowOptions): AsyncGenerator<LogChunk> {
    const watch = this.#attempts.watch(attemptKey(ref), signal);
    try {
      let page =
        'offset' in from
          ? await this.read({ ref, stream, offset: from.offset })
          : await this.tail({ ref, stream, last: from });
      while (!signal?.aborted) {
        yield* page.chunks;
        if (page.ended) {
          return;
        }
        const { nextOffset } = page;
        if (page.chunks.length === 0) {
          await watch.changed();
        }
        if (!signal?.aborted) {
          page = await this.read({ ref, stream, offset: nextOffset });
        }
      }
    } finally {
      watch.close();
    }
  }

  async lengths(ref: AttemptRef): Promise<Readonly<Record<StreamKind, StreamLength>>> {
    checkRef(ref);
    const state = await this.#withIndex(({ index }) => this.#state(index, ref));
    const length = (stream: StreamKind): StreamLength => ({
      known: state.known[streamIndex(stream)],
      final: finalLength(state, stream),
    });
    return { output: length('output'), stdout: length('stdout'), stderr: length('stderr') };
  }

  async deleteBefore(timeMs: number, budget: RetentionBudget = {}): Promise<RetentionResult> {
    this.#checkOpen();
    const records = budget.records ?? DEFAULT_RETENTION_RECORDS;
    checkInteger('timeMs', timeMs, 0, Number.MAX_SAFE_INTEGER);
    checkInteger('records', records, 1, Number.MAX_SAFE_INTEGER);
    return await this.#retention.deleteBefore(timeMs, records);
  }

  async usage(): Promise<LogUsage> {
    this.#checkOpen();
    const { bavail, bsize } = await statfs(this.#options.directory);
    const [oldest] = this.#segments.list;
    const found = oldest && (await stat(segmentPath(this.#options.directory, oldest.number)).catch(() => undefined));
    return {
      segments: this.#segments.list.length,
      bytes: this.#segments.bytes,
      maxBytes: this.#options.maxBytes,
      freeBytes: bavail * bsize,
      oldestMs: found && Math.floor(found.mtimeMs),
      followers: this.#attempts.followers,
    };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#writer.idle();
    this.#attempts.wakeAll();
    await this.#retentionCalls.run(async () => {});
    await this.#mutex.run(async () => {
      const last = this.#segments.list.at(-1);
      try {
        if (last) {
          await this.#keeper.ready?.index.checkpoint({ segment: last.number, position: last.bytes });
        }
      } catch (error) {
        this.#options.warn(`the log index will be caught up at the next start: ${String(error)}`);
      }
      await this.#keeper.close();
      await this.#segments.close();
      this.#release();
    });
  }

  #checkOpen(): void {
    if (this.#closing) {
      throw new LogStoreError('CLOSED', `${this.#options.directory}: the log store is closed`);
    }
  }

  /** The size bound holds without anybody asking. */
  #keepSize(): void {
    if (this.#segments.bytes > this.#options.maxBytes && !this.#closing) {
      this.#retention.deleteBefore(0, Number.MAX_SAFE_INTEGER).then(
        ({ segments, bytes }) => {
          const { maxBytes } = this.#options;
          this.#options.warn(
            `logs exceeded ${maxBytes} bytes: dropped the oldest ${segments} segments (${bytes} bytes)`,
          );
        },
        (error: unknown) => this.#options.warn(`old log segments could not be removed: ${String(error)}`),
      );
    }
  }

  async #state(index: ChunkIndex, ref: AttemptRef): Promise<AttemptState> {
    return this.#attempts.find(attemptKey(ref)) ?? (await index.attempt(ref));
  }

  #source({ index, holesBefore }: ReadyIndex, ref: AttemptRef, stream: StreamKind): StreamSource {
    const { directory } = this.#options;
    return { directory, index, ref, stream, holesBefore, firstSegment: this.#segments.firstKept };
  }

  async #page(source: StreamSource, state: AttemptState, offset: number, maxBytes: number): Promise<ReadResult> {
    const knownLength = state.known[streamIndex(source.stream)];
    const final = finalLength(state, source.stream);
    const chunks = offset < knownLength ? await readChunks(source, offset, knownLength, maxBytes) : [];
    const last = chunks.at(-1);
    const nextOffset = last ? last.offset + chunkLength(last) : offset;
    return { chunks, nextOffset, ended: final !== undefined && nextOffset >= final, knownLength };
  }

  /** Runs a read; when the index proves damaged, repairs it and runs it once more. */
  async #withIndex<T>(use: (ready: ReadyIndex) => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      this.#checkOpen();
      const ready = this.#keeper.ready ?? (await this.#mutex.run(() => this.#reopened()));
      try {
        return await use(ready);
      } catch (error) {
        if (error instanceof LogStoreError) {
          throw error;
        }
        this.#checkOpen();
        this.#keeper.failed(ready.index, error);
        if (tries === 2) {
          throw new LogStoreError('UNAVAILABLE', `the log index failed: ${String(error)}`, { cause: error });
        }
      }
    }
  }

  async #reopened(): Promise<ReadyIndex> {
    this.#checkOpen();
    if (await this.#keeper.repair()) {
      this.#attempts.forget();
    }
    const ready = this.#keeper.ready;
    if (!ready) {
      throw new LogStoreError('UNAVAILABLE', 'the log index is not open');
    }
    return ready;
  }
}

function checkLast(last: TailRequest['last']): void {
  if ('bytes' in last) {
    checkInteger('bytes', last.bytes, 0, Number.MAX_SAFE_INTEGER);
  } else {
    checkInteger('lines', last.lines, 0, Number.MAX_SAFE_INTEGER);
  }
}

/** Takes the index first, whose lock keeps other processes out, then checks the last segment's tail and goes on with it. */
async function openParts(options: CompiledOptions): Promise<{ segments: SegmentSet; keeper: IndexKeeper }> {
  const { directory, warn } = options;
  const list = await listSegments(directory);
  const segments = new SegmentSet(directory, list);
  const keeper = new IndexKeeper(options, list);
  const last = list.at(-1);
  try {
    await keeper.repair(async (from) => {
      if (!last) {
        return;
      }
      const start = from.segment === last.number ? from.position : SEGMENT_HEADER_BYTES;
      const end = await wholeEnd(directory, last, start);
      if (end < last.bytes) {
        warn(`${segmentPath(directory, last.number)}: ${last.bytes - end} bytes of an unfinished write are cut off`);
        last.bytes = end;
      }
    });
    await segments.resume();
    return { segments, keeper };
  } catch (error) {
    await keeper.close();
    await segments.close();
    throw error;
  }
}
