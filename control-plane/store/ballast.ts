import { randomFillSync } from 'node:crypto';
import { open, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { syncDirectory } from './durable-file.ts';
import { isDiskFull, isErrno } from './errno.ts';
import { freeBytes } from './file-system.ts';

/**
 * A file that holds room. Opening LevelDB after a crash writes its log out as a table before the log may be removed, so
 * on a full disk it could never be opened again: the ballast is released for that, and no batch is committed until it
 * has been made again.
 */
const BALLAST_FILE = 'BALLAST';

/** Room that must be free besides the ballast before it is made, so that making it does not itself fill the disk. */
export const BALLAST_MARGIN_BYTES = 1024 * 1024;

const BLOCK_BYTES = 1024 * 1024;

export class Ballast {
  readonly #dir: string;
  readonly #bytes: number;
  #held = false;

  /** `bytes`: the size of the file. */
  constructor(dir: string, bytes: number) {
    this.#dir = dir;
    this.#bytes = bytes;
  }

  get #path(): string {
    return join(this.#dir, BALLAST_FILE);
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Whether the room is held. */
  get held(): boolean {
    return this.#held;
  }

  /** Makes sure that the file is there and has its size. False when the disk has no room for it. */
  async hold(): Promise<boolean> {
    this.#held = await this.#make();
    return this.#held;
  }

  /** Gives the room back to the file system. */
  async release(): Promise<void> {
    this.#held = false;
    await rm(this.#path, { force: true });
    await syncDirectory(this.#dir);
  }

  async #make(): Promise<boolean> {
    if ((await this.#size()) >= this.#bytes) return true;
    await this.release();
    if ((await freeBytes(this.#dir)) < this.#bytes + BALLAST_MARGIN_BYTES) return false;
    const temporary = `${this.#path}.tmp`;
    try {
      await writeNoise(temporary, this.#bytes);
      await rename(temporary, this.#path);
      await syncDirectory(this.#dir);
      return true;
    } catch (error) {
      await rm(temporary, { force: true });
      if (isDiskFull(error)) return false;
      throw error;
    }
  }

  async #size(): Promise<number> {
    try {
      return (await stat(this.#path)).size;
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return 0;
      throw error;
    }
  }
}

/** Noise, because a file system that compresses would store zeros in no room at all. */
async function writeNoise(path: string, bytes: number): Promise<void> {
  const block = randomFillSync(Buffer.allocUnsafe(Math.min(BLOCK_BYTES, bytes)));
  const handle = await open(path, 'w', 0o600);
  try {
    for (let left = bytes; left > 0; left -= block.byteLength) {
      await handle.writeFile(left < block.byteLength ? block.subarray(0, left) : block);
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
}
