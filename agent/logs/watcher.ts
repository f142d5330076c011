import { type FSWatcher, watch } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { OutputStream } from './log-stream.ts';

/**
 * Milliseconds between looks at a file: doubling while it does not grow. Most short jobs are over before the first look, and
 * their file is read once, at the end.
 */
const LOOK_MS = { first: 100, busy: 50, idle: 1_000, watched: 10_000 };

/**
 * Notices that a file grows. A file that grows is looked at on a timer, one after the other; one that has been quiet is
 * watched through inotify, with a slow look as a net, and the watch is given up at its first word: a job that writes a line at a time would
 * wake the agent for each of them.
 */
export class GrowthWatcher {
  readonly #onGrowth: (stream: OutputStream) => void;
  readonly #watched = new Map<OutputStream, Watched>();
  #closed = false;

  constructor(onGrowth: (stream: OutputStream) => void) {
    this.#onGrowth = onGrowth;
  }

  add(stream: OutputStream): void {
    if (this.#closed || this.#watched.has(stream)) return;
    const watched: Watched = { pauseMs: LOOK_MS.first, timer: undefined, watcher: undefined, looking: false };
    this.#watched.set(stream, watched);
    this.#lookIn(stream, watched, LOOK_MS.first);
  }

  remove(stream: OutputStream): void {
    const watched = this.#watched.get(stream);
    if (watched === undefined) return;
    this.#watched.delete(stream);
    clearTimeout(watched.timer);
    watched.watcher?.close();
  }

  close(): void {
    this.#closed = true;
    for (const stream of [...this.#watched.keys()]) this.remove(stream);
  }

  get streams(): IterableIterator<OutputStream> {
    return this.#watched.keys();
  }

  #lookIn(stream: OutputStream, watched: Watched, ms: number): void {
    clearTimeout(watched.timer);
    watched.timer = setTimeout(() => void this.#look(stream, watched), ms);
  }

  async #look(stream: OutputStream, watched: Watched): Promise<void> {
    if (watched.looking) return;
    watched.looking = true;
    const size = await fileSize(stream.path);
    watched.looking = false;
    if (this.#watched.get(stream) !== watched) return;
    if (size > stream.size) {
      stream.size = size;
      watched.pauseMs = LOOK_MS.busy;
      this.#onGrowth(stream);
    } else {
      watched.pauseMs = Math.min(watched.pauseMs * 2, LOOK_MS.idle);
    }
    if (watched.pauseMs >= LOOK_MS.idle) this.#watch(stream, watched);
    else this.#lookIn(stream, watched, watched.pauseMs);
  }

  #watch(stream: OutputStream, watched: Watched): void {
    if (watched.watcher === undefined) {
      try {
        const watcher = watch(stream.path, { persistent: false }, () => this.#stir(stream, watched));
        watcher.on('error', () => this.#stir(stream, watched));
        watched.watcher = watcher;
      } catch {
        // No file yet, or no more watches to be had: the timer alone.
        this.#lookIn(stream, watched, LOOK_MS.idle);
        return;
      }
      // What was written between the last look and the watch.
      this.#lookIn(stream, watched, LOOK_MS.busy);
      return;
    }
    this.#lookIn(stream, watched, LOOK_MS.watched);
  }

  #stir(stream: OutputStream, watched: Watched): void {
    watched.watcher?.close();
    watched.watcher = undefined;
    if (this.#watched.get(stream) !== watched) return;
    watched.pauseMs = LOOK_MS.busy;
    this.#lookIn(stream, watched, LOOK_MS.first);
  }
}

interface Watched {
  pauseMs: number;
  timer: NodeJS.Timeout | undefined;
  watcher: FSWatcher | undefined;
  looking: boolean;
}

/** 0 for a file that is not there. */
export async function fileSize(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch {
    return 0;
  }
}
