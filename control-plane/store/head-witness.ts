import { join } from 'node:path';
import { readCheckedJson, writeCheckedJson } from './durable-file.ts';
import { comparePositions } from './position.ts';
import type { Position } from './store.ts';
import { StoreError } from './store.ts';

/**
 * The HEAD file: the highest position that was acknowledged, kept outside LevelDB. Contiguous sequences show a hole but
 * not a missing end, so somebody else must know how far the store once was. It trails the store by at most about
 * `HEAD_INTERVAL_MS`, because its own sync must not slow commits down; the agents' journals witness the rest.
 */
export const HEAD_FILE = 'HEAD';

/** HEAD is written at most once in this time. */
export const HEAD_INTERVAL_MS = 1000;

const REMEDY =
  'Restore a backup. If you are certain that nothing else was removed or damaged, accept the loss explicitly: the store ' +
  'then begins a new epoch.';

/** Rejects with `CORRUPT` when the file is missing or damaged. */
export async function readHead(dir: string): Promise<Position> {
  const path = join(dir, HEAD_FILE);
  const content = await readCheckedJson(path, REMEDY);
  if (content === undefined) throw new StoreError('CORRUPT', `${path} is missing. ${REMEDY}`);
  if (!isPosition(content)) throw new StoreError('CORRUPT', `${path} holds no position. ${REMEDY}`);
  return content;
}

export async function writeHead(dir: string, { epoch, sequence }: Position): Promise<void> {
  await writeCheckedJson(join(dir, HEAD_FILE), { epoch, sequence });
}

function isPosition(value: unknown): value is Position {
  return (
    typeof value === 'object' &&
    value !== null &&
    'epoch' in value &&
    'sequence' in value &&
    Number.isSafeInteger(value.epoch) &&
    Number.isSafeInteger(value.sequence)
  );
}

/**
 * Keeps HEAD up to date in the background. Idle (file and store agree) → `note` → waiting (a timer runs until the
 * interval has passed) → writing → idle, or waiting again when more was noted meanwhile. `flush` ends waiting.
 */
export class HeadWriter {
  readonly #dir: string;
  readonly #intervalMs: number;
  readonly #onError: (error: unknown) => void;
  #noted: Position;
  #written: Position;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> | undefined;
  #lastWriteMs = Number.NEGATIVE_INFINITY;

  constructor(dir: string, written: Position, intervalMs: number, onError: (error: unknown) => void) {
    this.#dir = dir;
    this.#noted = written;
    this.#written = written;
    this.#intervalMs = intervalMs;
    this.#onError = onError;
  }

  /** The batch at this position was acknowledged. */
  note(position: Position): void {
    this.#noted = position;
    this.#schedule();
  }

  /** Writes what was noted, now. Never rejects: a witness that cannot be written is reported and tried again later. */
  async flush(): Promise<void> {
    await this.#writing;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (!this.#isCurrent()) await this.#write();
  }

  #isCurrent(): boolean {
    return comparePositions(this.#noted, this.#written) === 0;
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#writing !== undefined || this.#isCurrent()) return;
    const delayMs = Math.max(0, this.#lastWriteMs + this.#intervalMs - performance.now());
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#write().then(() => this.#schedule());
    }, delayMs);
    this.#timer.unref();
  }

  #write(): Promise<void> {
    const position = this.#noted;
    this.#lastWriteMs = performance.now();
    this.#writing = writeHead(this.#dir, position)
      .then(() => {
        this.#written = position;
      })
      .catch(this.#onError)
      .finally(() => {
        this.#writing = undefined;
      });
    return this.#writing;
  }
}
