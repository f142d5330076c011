import { randomBytes } from 'node:crypto';
import { CACHE_BYTES, TABLE_FILE_BYTES, WRITE_BUFFER_BYTES } from '@galley/control-plane/store/level-options.ts';
import { TURN_BYTES } from '@galley/control-plane/turn/turn-limits.ts';
import { ClassicLevel } from 'classic-level';
import { SPEC_BYTES } from '../jobs.ts';

/** What a job's header takes in the store, about. */
const HEADER_BYTES = 128;
const KEY_BYTES = 24;

/** LevelDB alone, set up as the store does it: synced batches of what jobs are in it, as large as a turn's. */
export class LevelPuts {
  readonly #database: ClassicLevel<Buffer, Buffer>;
  #jobs = 0;

  private constructor(database: ClassicLevel<Buffer, Buffer>) {
    this.#database = database;
  }

  static async open(directory: string): Promise<LevelPuts> {
    const database = new ClassicLevel<Buffer, Buffer>(directory, {
      keyEncoding: 'buffer',
      valueEncoding: 'buffer',
      writeBufferSize: WRITE_BUFFER_BYTES,
      cacheSize: CACHE_BYTES,
      maxFileSize: TABLE_FILE_BYTES,
    });
    await database.open();
    return new LevelPuts(database);
  }

  /** Puts jobs for so long; resolves with jobs per second. */
  async run(forMs: number): Promise<number> {
    const perBatch = Math.floor(TURN_BYTES / (SPEC_BYTES + HEADER_BYTES));
    const filling = randomBytes(SPEC_BYTES * perBatch);
    const from = performance.now();
    let put = 0;
    while (performance.now() - from < forMs) {
      const operations = Array.from({ length: perBatch }, (_, at) => [
        { type: 'put' as const, key: key('s', this.#jobs), value: part(filling, at, SPEC_BYTES) },
        { type: 'put' as const, key: key('j', this.#jobs++), value: part(filling, at, HEADER_BYTES) },
      ]);
      await this.#database.batch(operations.flat(), { sync: true });
      put += perBatch;
    }
    return (put / (performance.now() - from)) * 1000;
  }

  close(): Promise<void> {
    return this.#database.close();
  }
}

function part(bytes: Buffer, at: number, length: number): Buffer {
  return bytes.subarray(at * length, (at + 1) * length);
}

function key(table: string, number: number): Buffer {
  return Buffer.from(`${table}/default/${String(number).padStart(KEY_BYTES - 10, '0')}`);
}
