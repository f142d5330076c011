import { statfs } from 'node:fs/promises';
import { newAttempt } from './admission.ts';
import { type Attempts, attemptKey } from './attempts.ts';
import type { ChunkIndex } from './chunk-index.ts';
import type { IndexKeeper } from './index-keeper.ts';
import { type AppendResult, type AttemptRef, type LogChunk, LogStoreError, type StreamKind } from './log-store.ts';
import type { Mutex } from './mutex.ts';
import type { CompiledOptions } from './options.ts';
import { FINALS_BYTES, HEADER_BYTES } from './record.ts';
import type { ActiveSegment, SegmentSet } from './segments.ts';
import { Turn } from './turn.ts';

/** Bytes that wait for their turn; beyond it `append` answers `OVERLOADED`. */
export const MAX_QUEUED_BYTES = 64 * 1024 * 1024;
/** A turn closes when it holds this much; it shares one sync. */
export const MAX_TURN_BYTES = 8 * 1024 * 1024;
export const MAX_TURN_RECORDS = 20_000;
/** Written between two looks at the free space. */
const SPACE_CHECK_BYTES = 1024 * 1024;
/** Look-ups of unknown attempts in the index at a time. */
const PARALLEL_LOOKUPS = 64;

type Settle = { readonly resolve: (result: AppendResult) => void; readonly reject: (error: unknown) => void };
type Request = Settle & { readonly bytes: number; readonly records: number } & (
    | { readonly kind: 'append'; readonly chunks: readonly LogChunk[] }
    | { readonly kind: 'end'; readonly ref: AttemptRef; readonly lengths: FinalLengths }
  );
type FinalLengths = Readonly<Partial<Record<StreamKind, number>>>;

/** Gathers what arrives while a sync runs into the next turn: one sync pays for all of it. */
export class LogWriter {
  readonly #options: CompiledOptions;
  readonly #segments: SegmentSet;
  readonly #keeper: IndexKeeper;
  readonly #attempts: Attempts;
  readonly #mutex: Mutex;
  readonly #onRoll: () => void;
  readonly #queue: Request[] = [];
  #queuedBytes = 0;
  #draining: Promise<void> | undefined;
  /** Jobs above it have no entry: most attempts are new, and need no look-up. Undefined: read it from the index. */
  #highestJob: number | undefined;
  #bytesSinceSpaceCheck = SPACE_CHECK_BYTES;
  /** The last write failed; said once. */
  #failing = false;
  /** A failed write could not be taken back: what stands on disk is unknown until the store is opened again. */
  #dead: LogStoreError | undefined;

  constructor(
    parts: { options: CompiledOptions; segments: SegmentSet; keeper: IndexKeeper; attempts: Attempts; mutex: Mutex },
    onRoll: () => void,
  ) {
    this.#options = parts.options;
    this.#segments = parts.segments;
    this.#keeper = parts.keeper;
    this.#attempts = parts.attempts;
    this.#mutex = parts.mutex;
    this.#onRoll = onRoll;
  }

  append(chunks: readonly LogChunk[], bytes: number): Promise<AppendResult> {
    const cost = bytes + chunks.length * HEADER_BYTES;
    return this.#enqueue((settle) => ({ kind: 'append', chunks, bytes: cost, records: chunks.length, ...settle }));
  }

  async end(ref: AttemptRef, lengths: FinalLengths): Promise<void> {
    const bytes = HEADER_BYTES + FINALS_BYTES;
    await this.#enqueue((settle) => ({ kind: 'end', ref, lengths, bytes, records: 1, ...settle }));
  }

  /** Resolves when nothing waits. */
  async idle(): Promise<void> {
    await this.#draining;
  }

  #enqueue(make: (settle: Settle) => Request): Promise<AppendResult> {
    return new Promise((resolve, reject) => {
      const request = make({ resolve, reject });
      if (this.#queuedBytes + request.bytes > MAX_QUEUED_BYTES) {
        const message = `bytes waiting to be written: at most ${MAX_QUEUED_BYTES}, ${this.#queuedBytes} wait and ${request.bytes} came`;
        reject(new LogStoreError('OVERLOADED', message));
        return;
      }
      this.#queue.push(request);
      this.#queuedBytes += request.bytes;
      this.#draining ??= this.#drain();
    });
  }

  async #drain(): Promise<void> {
    // Callers of the same tick share the first turn.
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const requests = this.#take();
      try {
        await this.#mutex.run(() => this.#turn(requests));
      } catch (error) {
        const failure = toFailure(error);
        for (const { reject } of requests) {
          reject(failure);
        }
      }
    }
    this.#draining = undefined;
  }

  #take(): Request[] {
    let bytes = 0;
    let records = 0;
    let count = 0;
    for (const request of this.#queue) {
      bytes += request.bytes;
      records += request.records;
      if (count > 0 && (bytes > MAX_TURN_BYTES || records > MAX_TURN_RECORDS)) {
        break;
      }
      count++;
    }
    const requests = this.#queue.splice(0, count);
    for (const request of requests) {
      this.#queuedBytes -= request.bytes;
    }
    return requests;
  }

  async #turn(requests: readonly Request[]): Promise<void> {
    if (this.#dead) {
      throw this.#dead;
    }
    if (await this.#keeper.repair()) {
      this.#forget();
    }
    const index = this.#keeper.ready?.index;
    if (!index) {
      throw new LogStoreError('UNAVAILABLE', 'the log index is not open');
    }
    const bytes = requests.reduce((sum, request) => sum + request.bytes, 0);
    await this.#checkSpace(bytes);
    const segmentsBefore = this.#segments.list.length;
    const segment = await this.#segments.writable(this.#options.segmentBytes);
    const turn = new Turn(segment.number, segment.position, bytes);
    await this.#loadStates(index, turn, requests);
    const settle = requests.map((request) => admit(turn, request));
    if (turn.bytes > 0) {
      await this.#write(segment, turn);
      await this.#index(index, segment, turn);
    }
    for (const [key, state] of turn.states) {
      this.#attempts.moved(key, state);
    }
    for (const done of settle) {
      done();
    }
    if (this.#segments.list.length > segmentsBefore) {
      this.#onRoll();
    }
  }

  async #checkSpace(bytes: number): Promise<void> {
    this.#bytesSinceSpaceCheck += bytes;
    if (this.#bytesSinceSpaceCheck < SPACE_CHECK_BYTES) {
      return;
    }
    const { directory, freeFloorBytes, freeFloorShare } = this.#options;
    const { bavail, blocks, bsize } = await statfs(directory);
    const free = bavail * bsize;
    const floor = Math.min(freeFloorBytes, Math.floor(blocks * bsize * freeFloorShare));
    if (free - bytes < floor) {
      const message = `${directory}: ${free} bytes free, logs are taken again above ${floor}`;
      throw new LogStoreError('NO_SPACE', message);
    }
    this.#bytesSinceSpaceCheck = 0;
  }

  async #loadStates(index: ChunkIndex, turn: Turn, requests: readonly Request[]): Promise<void> {
    const unknown = new Map<string, AttemptRef>();
    try {
      this.#highestJob ??= await index.highestJob();
      for (const ref of refsOf(requests)) {
        const key = attemptKey(ref);
        if (turn.states.has(key) || unknown.has(key)) {
          continue;
        }
        const state = this.#attempts.find(key) ?? (ref.jobNumber > this.#highestJob ? newAttempt() : undefined);
        if (state) {
          turn.load(key, state);
        } else {
          unknown.set(key, ref);
        }
      }
      const lookups = [...unknown];
      for (let at = 0; at < lookups.length; at += PARALLEL_LOOKUPS) {
        const some = lookups.slice(at, at + PARALLEL_LOOKUPS);
        const found = await Promise.all(some.map(async ([key, ref]) => [key, await index.attempt(ref)] as const));
        for (const [key, state] of found) {
          turn.load(key, state);
        }
      }
    } catch (error) {
      throw this.#indexFailed(index, error);
    }
  }

  async #write(segment: ActiveSegment, turn: Turn): Promise<void> {
    try {
      await segment.append(turn.finish(), turn.bytes);
    } catch (error) {
      const full = isNoSpace(error);
      if (!this.#failing) {
        this.#failing = true;
        this.#options.warn(`writing logs failed, agents keep theirs until it works again: ${String(error)}`);
      }
      try {
        await segment.rewind();
        if (!full) {
          await this.#segments.abandon();
        }
      } catch (cause) {
        const message = `a failed write of logs could not be taken back (${String(cause)}); restart the control plane`;
        this.#dead = new LogStoreError('WRITE_FAILED', message, { cause });
      }
      throw new LogStoreError(full ? 'NO_SPACE' : 'WRITE_FAILED', `logs were not written: ${String(error)}`, {
        cause: error,
      });
    }
    this.#failing = false;
    const info = this.#segments.list.at(-1);
    if (info) {
      info.bytes = segment.position;
    }
  }

  /** The records are synced; without their entries they are found again when the index is repaired, before the next turn. */
  async #index(index: ChunkIndex, segment: ActiveSegment, turn: Turn): Promise<void> {
    try {
      await index.put(turn.puts);
      await index.progress({ segment: segment.number, position: segment.position }, turn.bytes);
    } catch (error) {
      throw this.#indexFailed(index, error);
    }
    this.#highestJob = Math.max(this.#highestJob ?? 0, turn.highestJob);
  }

  #indexFailed(index: ChunkIndex, error: unknown): LogStoreError {
    this.#keeper.failed(index, error);
    this.#forget();
    return new LogStoreError('UNAVAILABLE', `the log index failed: ${String(error)}`, { cause: error });
  }

  #forget(): void {
    this.#attempts.forget();
    this.#highestJob = undefined;
  }
}

function* refsOf(requests: readonly Request[]): Generator<AttemptRef> {
  for (const request of requests) {
    if (request.kind === 'end') {
      yield request.ref;
      continue;
    }
    for (const { ref } of request.chunks) {
      yield ref;
    }
  }
}

/** Admits a request to the turn; the answer is for after the sync. */
function admit(turn: Turn, request: Request): () => void {
  if (request.kind === 'append') {
    const refused = turn.append(request.chunks);
    return () => request.resolve({ refused });
  }
  const conflict = turn.end(request.ref, request.lengths, Date.now());
  return conflict === undefined
    ? () => request.resolve({ refused: [] })
    : () => request.reject(new LogStoreError('CONFLICT', conflict));
}

const isNoSpace = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT');

function toFailure(error: unknown): LogStoreError {
  if (error instanceof LogStoreError) {
    return error;
  }
  const code = isNoSpace(error) ? 'NO_SPACE' : 'WRITE_FAILED';
  return new LogStoreError(code, `logs were not written: ${String(error)}`, { cause: error });
}
