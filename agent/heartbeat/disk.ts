import { statfs } from 'node:fs/promises';
import { withDeadline } from './deadline.ts';

/** A disk that does not answer within this is asked again only when it has. */
const DISK_DEADLINE_MS = 2_000;

export interface DiskSpace {
  /** For a user that is not root. */
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/**
 * The space of the file system below a directory. At most one question is under way, whatever the disk does: four that hang
 * would stop every file operation of the process.
 */
export class DiskGauge {
  readonly #directory: string;
  #latest: DiskSpace | undefined;
  #asking: Promise<DiskSpace> | undefined;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** What was last seen. */
  get latest(): DiskSpace | undefined {
    return this.#latest;
  }

  /** Undefined when the disk does not answer in time. */
  async measure(): Promise<DiskSpace | undefined> {
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
    });
    return await withDeadline('statfs', DISK_DEADLINE_MS, this.#asking).catch(() => undefined);
  }

  async #ask(): Promise<DiskSpace> {
    const { bavail, blocks, bsize } = await statfs(this.#directory);
    return (this.#latest = { freeBytes: bavail * bsize, totalBytes: blocks * bsize });
  }
}
