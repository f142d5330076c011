import { type FileHandle, mkdir, open, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { AttemptReport } from '@galley/proto';
import { type AttemptKey, attemptKey } from './attempt-key.ts';
import { syncDirectory, writeAll } from './durable.ts';
import { encodeFrames, scanFrames } from './framing.ts';
import { decodeEnd, encodeEnd } from './records.ts';

/** How long, and how many, acked attempts are remembered for a control plane that was restored from a backup. */
export const HISTORY_MS = 7 * 24 * 3600 * 1000;
export const HISTORY_ATTEMPTS = 200_000;
const SEGMENTS = 10;

export interface EndedAttempt {
  readonly report: AttemptReport;
  /** Wall clock, Unix ms. */
  readonly endedAtMs: number;
}

/** Acked attempts on disk only, in segments that are dropped whole, oldest first; memory holds none of them. */
export class AttemptHistory {
  readonly #directory: string;
  readonly #perSegment: number;
  #segments: number[] = [];
  #handle: FileHandle | undefined;
  #size = 0;
  #count = 0;
  #writing: Promise<void> = Promise.resolve();

  private constructor(directory: string, perSegment: number) {
    this.#directory = directory;
    this.#perSegment = perSegment;
  }

  /** @param attempts how many are remembered at least; default 200,000. */
  static async open(directory: string, attempts: number = HISTORY_ATTEMPTS): Promise<AttemptHistory> {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const history = new AttemptHistory(directory, Math.ceil(attempts / (SEGMENTS - 1)));
    const names = await readdir(directory);
    history.#segments = names.flatMap((name) => (/^\d{10}$/.test(name) ? [Number(name)] : [])).sort((a, b) => a - b);
    const last = history.#segments.at(-1);
    if (last !== undefined) await history.#continue(last);
    return history;
  }

  /** Synced when it resolves. Calls are carried out one after the other. */
  append(attempts: readonly EndedAttempt[]): Promise<void> {
    const written = this.#writing.then(() => this.#append(attempts));
    this.#writing = written.catch(() => undefined);
    return written;
  }

  /** Newest segment first; within a segment in the order of the acks. */
  async *read(): AsyncGenerator<readonly EndedAttempt[]> {
    await this.#writing;
    for (const segment of this.#segments.toReversed()) {
      const bytes = await readFile(this.#path(segment)).catch(() => Buffer.alloc(0));
      yield scanFrames(bytes).payloads.map((payload) => decodeEnd(payload));
    }
  }

  /** Those of the keys that are remembered. Reads everything: for the rare question about an attempt that is not held. */
  async find(keys: ReadonlySet<AttemptKey>): Promise<Map<AttemptKey, EndedAttempt>> {
    const found = new Map<AttemptKey, EndedAttempt>();
    if (keys.size === 0) return found;
    for await (const attempts of this.read()) {
      for (const attempt of attempts) {
        if (attempt.report.id === undefined) continue;
        const key = attemptKey(attempt.report.id);
        if (keys.has(key) && !found.has(key)) found.set(key, attempt);
      }
      if (found.size === keys.size) break;
    }
    return found;
  }

  async close(): Promise<void> {
    await this.#writing;
    await this.#handle?.close();
    this.#handle = undefined;
  }

  async #append(attempts: readonly EndedAttempt[]): Promise<void> {
    if (attempts.length === 0) return;
    if (this.#handle === undefined || this.#count >= this.#perSegment) await this.#rotate();
    const handle = this.#handle;
    if (handle === undefined) throw new Error(`${this.#directory} has no open segment`);
    const frames = encodeFrames(attempts.map(({ report, endedAtMs }) => encodeEnd(report, endedAtMs)));
    try {
      await writeAll(handle, frames, this.#size);
      await handle.datasync();
    } catch (error) {
      // What reached the file is unknown: the next append begins another one.
      await handle.close().catch(() => undefined);
      this.#handle = undefined;
      throw error;
    }
    this.#size += frames.length;
    this.#count += attempts.length;
  }

  async #continue(segment: number): Promise<void> {
    const handle = await open(this.#path(segment), 'r+');
    const { payloads, goodBytes } = scanFrames(await handle.readFile());
    await handle.truncate(goodBytes);
    this.#handle = handle;
    this.#size = goodBytes;
    this.#count = payloads.length;
  }

  async #rotate(): Promise<void> {
    await this.#handle?.close();
    const segment = (this.#segments.at(-1) ?? 0) + 1;
    this.#handle = await open(this.#path(segment), 'wx', 0o600);
    await syncDirectory(this.#directory);
    this.#segments.push(segment);
    this.#size = 0;
    this.#count = 0;
    await this.#expire();
  }

  async #expire(): Promise<void> {
    for (const segment of this.#segments.slice(0, -1)) {
      const tooMany = this.#segments.length > SEGMENTS;
      const { mtimeMs } = await stat(this.#path(segment)).catch(() => ({ mtimeMs: 0 }));
      if (!tooMany && Date.now() - mtimeMs < HISTORY_MS) break;
      await rm(this.#path(segment), { force: true });
      this.#segments = this.#segments.filter((other) => other !== segment);
    }
  }

  #path(segment: number): string {
    return join(this.#directory, String(segment).padStart(10, '0'));
  }
}
