import { type FileHandle, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { syncDirectory, writeAll } from './durable.ts';
import { JournalError } from './errors.ts';
import { encodeFrames, FRAME_HEADER_BYTES, scanFrames } from './framing.ts';

/** Bytes that one write and sync carries at most; what waits beyond it goes with the next. */
const MAX_BATCH_BYTES = 4 * 1024 * 1024;
/** A file is rewritten when it has grown by this much and to twice what the last rewrite left. */
const COMPACTION_GROWTH_BYTES = 4 * 1024 * 1024;
/** After a failed write the file is rewritten from memory; a full disk is asked again this often. */
const RETRY_MS = { first: 100, most: 5_000 };

export interface RecordFileOptions {
  readonly path: string;
  /** Called for each record in order: at opening, and whenever an append has been written. */
  readonly apply: (payload: Uint8Array) => void;
  /** The records that stand for everything applied so far; the file is rewritten from them. */
  readonly snapshot: () => readonly Uint8Array[];
  /** Whether a file of which only so many bytes are whole may be used; what it returns is thrown before anything is cut. */
  readonly refuse?: (goodBytes: number, bytes: number) => Error | undefined;
  /** A write failed and is being retried, or (undefined) works again. */
  readonly onFault?: (error: Error | undefined) => void;
  readonly compactionGrowthBytes?: number;
}

interface Waiting {
  readonly payloads: readonly Uint8Array[];
  readonly bytes: number;
  readonly durable: boolean;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/**
 * An append-only file of checksummed records. One sync serves every append that waited for it. After a write or sync that
 * failed nothing more is trusted to the same file: the state in memory goes into a new one, and appends wait for that,
 * however long the disk stays full; they fail only when the file is closed.
 */
export class RecordFile {
  readonly #options: RecordFileOptions;
  readonly #closing = new AbortController();
  #handle: FileHandle | undefined;
  #size = 0;
  #compactAt = 0;
  #waiting: Waiting[] = [];
  #running: Promise<void> | undefined;

  private constructor(options: RecordFileOptions) {
    this.#options = options;
  }

  /** Opens or creates the file, applies what it holds, and cuts off a torn end. */
  static async open(options: RecordFileOptions): Promise<{ file: RecordFile; tornBytes: number }> {
    const file = new RecordFile(options);
    const bytes = await readFile(options.path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
      return undefined;
    });
    if (bytes === undefined) {
      file.#handle = await open(options.path, 'wx+', 0o600);
      await syncDirectory(dirname(options.path));
      file.#setSize(0);
      return { file, tornBytes: 0 };
    }
    const { payloads, goodBytes } = scanFrames(bytes);
    const refusal = options.refuse?.(goodBytes, bytes.length);
    if (refusal !== undefined) throw refusal;
    for (const payload of payloads) options.apply(payload);
    file.#handle = await open(options.path, 'r+');
    if (goodBytes < bytes.length) {
      await file.#handle.truncate(goodBytes);
      await file.#handle.sync();
    }
    file.#size = goodBytes;
    file.#compactAt = Math.max(goodBytes, file.#growth);
    return { file, tornBytes: bytes.length - goodBytes };
  }

  get size(): number {
    return this.#size;
  }

  /** Resolves when the records are applied and, if `durable`, synced. */
  append(payloads: readonly Uint8Array[], durable: boolean): Promise<void> {
    if (this.#closing.signal.aborted) return Promise.reject(closedError(this.#options.path));
    if (payloads.length === 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      let bytes = 0;
      for (const payload of payloads) bytes += FRAME_HEADER_BYTES + payload.byteLength;
      this.#waiting.push({ payloads, bytes, durable, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /** Waits for what was appended, unless the disk refuses it. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close();
  }

  async #run(): Promise<void> {
    // Appends of the same tick belong to one sync.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#take();
      try {
        await this.#write(batch);
      } catch (error) {
        for (const item of batch) item.reject(error instanceof Error ? error : new Error(String(error)));
        continue;
      }
      for (const item of batch) {
        for (const payload of item.payloads) this.#options.apply(payload);
        item.resolve();
      }
    }
    this.#running = undefined;
  }

  #take(): Waiting[] {
    let count = 0;
    for (let bytes = 0; count < this.#waiting.length; count++) {
      bytes += this.#waiting[count]?.bytes ?? 0;
      if (count > 0 && bytes > MAX_BATCH_BYTES) break;
    }
    return this.#waiting.splice(0, count);
  }

  async #write(batch: readonly Waiting[]): Promise<void> {
    const frames = encodeFrames(batch.flatMap((item) => item.payloads));
    const durable = batch.some((item) => item.durable);
    let faulty = false;
    for (let retryMs = RETRY_MS.first; ; retryMs = Math.min(retryMs * 2, RETRY_MS.most)) {
      try {
        if (this.#handle === undefined || this.#size > this.#compactAt) await this.#rewrite(frames);
        else await this.#extend(this.#handle, frames, durable);
        if (faulty) this.#options.onFault?.(undefined);
        return;
      } catch (error) {
        faulty = true;
        this.#options.onFault?.(error instanceof Error ? error : new Error(String(error)));
        await this.#dropHandle();
        if (this.#closing.signal.aborted) throw closedError(this.#options.path);
        await delay(retryMs, undefined, { signal: this.#closing.signal }).catch(() => undefined);
      }
    }
  }

  async #extend(handle: FileHandle, frames: Buffer, durable: boolean): Promise<void> {
    await writeAll(handle, frames, this.#size);
    if (durable) await handle.datasync();
    this.#size += frames.length;
  }

  /** The whole state and the batch into a new file, which takes the old one's name only when it is synced. */
  async #rewrite(frames: Buffer): Promise<void> {
    const { path, snapshot } = this.#options;
    const temporary = `${path}.new`;
    const handle = await open(temporary, 'w+', 0o600);
    try {
      const state = encodeFrames(snapshot());
      await writeAll(handle, state, 0);
      await writeAll(handle, frames, state.length);
      await handle.sync();
      await rename(temporary, path);
      await syncDirectory(dirname(path));
      await this.#dropHandle();
      this.#handle = handle;
      this.#setSize(state.length + frames.length);
    } catch (error) {
      await handle.close().catch(() => undefined);
      throw error;
    }
  }

  async #dropHandle(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close().catch(() => undefined);
  }

  get #growth(): number {
    return this.#options.compactionGrowthBytes ?? COMPACTION_GROWTH_BYTES;
  }

  #setSize(size: number): void {
    this.#size = size;
    this.#compactAt = Math.max(size * 2, size + this.#growth);
  }
}

function closedError(path: string): JournalError {
  return new JournalError('CLOSED', `${path} is closed`);
}
