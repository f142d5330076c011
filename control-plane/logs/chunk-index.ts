import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Level } from 'level';
import { type AttemptState, newAttempt } from './admission.ts';
import {
  AFTER_DATA_KEYS,
  decodeEntry,
  FIRST_DATA_KEY,
  type IndexEntry,
  type IndexPut,
  indexKey,
  META_CHECKPOINT,
  META_HOLES_BEFORE,
  parseKey,
} from './index-codec.ts';
import { type AttemptRef, LogStoreError } from './log-store.ts';
import type { StreamIndex } from './record.ts';
import type { SegmentPosition } from './segments.ts';

/** An index entry with the stream offset that its key names. */
export interface Located extends IndexEntry {
  readonly offset: number;
}

/** Bytes of segments between two synced checkpoints; after a crash at most about twice as much is read again. */
export const CHECKPOINT_BYTES = 16 * 1024 * 1024;

/**
 * Where each record stands, in a LevelDB of its own. Nothing in it is precious: it is derived from the segments, written
 * without sync, and LevelDB is trusted little (after one failed write a handle may lose later ones and still say OK). So a
 * handle that failed once is never written to again; it is reopened and caught up from the last synced checkpoint, or
 * rebuilt. The checkpoint lags by one interval, because LevelDB may lose the log that it had just switched away from.
 */
export class ChunkIndex {
  readonly #db: Level<Buffer, Buffer>;
  #mark: SegmentPosition | undefined;
  #bytesSinceMark = 0;

  private constructor(db: Level<Buffer, Buffer>) {
    this.#db = db;
  }

  /** Rejects with `LOCKED` when another process has it open; with LevelDB's error when it cannot be opened otherwise. */
  static async open(directory: string): Promise<ChunkIndex> {
    const db = new Level<Buffer, Buffer>(indexDirectory(directory), {
      keyEncoding: 'buffer',
      valueEncoding: 'buffer',
      writeBufferSize: 8 * 1024 * 1024,
      cacheSize: 16 * 1024 * 1024,
      maxFileSize: 8 * 1024 * 1024,
    });
    try {
      await db.open();
    } catch (error) {
      await db.close();
      if (causes(error).some((cause) => 'code' in cause && cause.code === 'LEVEL_LOCKED')) {
        throw new LogStoreError('LOCKED', `${directory}: another process has this log store open`, { cause: error });
      }
      throw error;
    }
    return new ChunkIndex(db);
  }

  /** Empties the directory and leaves it: it may be a mount of its own. */
  static async destroy(directory: string): Promise<void> {
    const path = indexDirectory(directory);
    await mkdir(path, { recursive: true, mode: 0o700 });
    for (const name of await readdir(path)) {
      await rm(join(path, name), { recursive: true, force: true });
    }
  }

  async put(puts: readonly IndexPut[]): Promise<void> {
    await this.#db.batch(puts.map(({ key, value }) => ({ type: 'put', key, value })));
  }

  /** Synced: once the segment is gone, nothing would remove an entry that comes back. */
  async delete(keys: readonly Buffer[]): Promise<void> {
    await this.#db.batch(
      keys.map((key) => ({ type: 'del', key })),
      { sync: true },
    );
  }

  /** Everything before `position` has been put, `bytes` more than at the call before. Now and then this becomes a checkpoint. */
  async progress(position: SegmentPosition, bytes: number): Promise<void> {
    this.#bytesSinceMark += bytes;
    if (!this.#mark || this.#bytesSinceMark >= CHECKPOINT_BYTES) {
      if (this.#mark) {
        await this.checkpoint(this.#mark);
      }
      this.#mark = position;
      this.#bytesSinceMark = 0;
    }
  }

  async checkpoint({ segment, position }: SegmentPosition): Promise<void> {
    const value = Buffer.alloc(8);
    value.writeUInt32LE(segment, 0);
    value.writeUInt32LE(position, 4);
    await this.#db.put(META_CHECKPOINT, value, { sync: true });
  }

  async readCheckpoint(): Promise<SegmentPosition | undefined> {
    const value = await this.#db.get(META_CHECKPOINT);
    return value?.length === 8 ? { segment: value.readUInt32LE(0), position: value.readUInt32LE(4) } : undefined;
  }

  /** The index has been rebuilt from every segment below this one. */
  async setHolesBefore(segment: number): Promise<void> {
    const value = Buffer.alloc(4);
    value.writeUInt32LE(segment, 0);
    await this.#db.put(META_HOLES_BEFORE, value, { sync: true });
  }

  async holesBefore(): Promise<number> {
    const value = await this.#db.get(META_HOLES_BEFORE);
    return value?.length === 4 ? value.readUInt32LE(0) : 0;
  }

  /** The highest job number that has an entry; 0 when there is none. */
  async highestJob(): Promise<number> {
    const last = await this.#db.keys({ gte: FIRST_DATA_KEY, lt: AFTER_DATA_KEYS, reverse: true, limit: 1 }).all();
    return (last[0] && parseKey(last[0])?.jobNumber) ?? 0;
  }

  /** One iterator: the last entry of each stream, and the end. */
  async attempt(ref: AttemptRef): Promise<AttemptState> {
    const state = newAttempt();
    const end = indexKey(ref, 'end', 0);
    const iterator = this.#db.iterator({ gte: end, lt: indexKey(ref, 2, Number.MAX_SAFE_INTEGER), reverse: true });
    try {
      for (let found = await iterator.next(); found; found = await iterator.next()) {
        const parts = parseKey(found[0]);
        const entry = decodeEntry(found[0], found[1]);
        if (!parts || !entry) {
          throw new IndexDamage(`entry ${found[0].toString('hex')} does not match its checksum`);
        }
        if (parts.tag === 'end') {
          state.finals = entry.finals;
          break;
        }
        state.known[parts.tag] = parts.offset + entry.length;
        iterator.seek(parts.tag === 0 ? end : indexKey(ref, (parts.tag - 1) as StreamIndex, Number.MAX_SAFE_INTEGER));
      }
    } finally {
      await iterator.close();
    }
    return state;
  }

  /** Entries of one stream whose offsets are in [from, to), in order, or from the end. */
  async *entries(
    ref: AttemptRef,
    stream: StreamIndex,
    from: number,
    to: number,
    options: { reverse: boolean; limit: number },
  ): AsyncGenerator<Located[]> {
    const range = { gte: indexKey(ref, stream, from), lt: indexKey(ref, stream, to), ...options };
    const iterator = this.#db.iterator({ ...range, highWaterMarkBytes: 64 * 1024 });
    try {
      for (let page = await iterator.nextv(256); page.length > 0; page = await iterator.nextv(256)) {
        yield page.map(([key, value]) => {
          const entry = decodeEntry(key, value);
          const parts = parseKey(key);
          if (!entry || !parts) {
            throw new IndexDamage(`entry ${key.toString('hex')} does not match its checksum`);
          }
          return { ...entry, offset: parts.offset };
        });
      }
    } finally {
      await iterator.close();
    }
  }

  async getMany(keys: Buffer[]): Promise<(IndexEntry | undefined)[]> {
    const values = await this.#db.getMany(keys);
    return values.map((value, index) => {
      const key = keys[index];
      return key && value && decodeEntry(key, value);
    });
  }

  async close(): Promise<void> {
    await this.#db.close();
  }
}

/** The index contradicts itself or the segments: it is thrown away and rebuilt from them. */
export class IndexDamage extends Error {
  override readonly name = 'IndexDamage';
}

const indexDirectory = (directory: string): string => join(directory, 'index');

function causes(error: unknown): object[] {
  const found: object[] = [];
  for (let at = error; at instanceof Error && found.length < 8; at = at.cause) {
    found.push(at);
  }
  return found;
}
