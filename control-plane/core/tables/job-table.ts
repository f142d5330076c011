import { assert, known } from '../assert.ts';
import type { JobIdBytes, JobState, OnNodeLost } from '../types.ts';
import { mix, RowIndex } from './row-index.ts';

/** Bits of a job's `flags` column. */
export const JobFlag = {
  held: 1,
  cancelRequested: 2,
  terminateRequested: 4,
  /** The header changed in this turn and is written at its end. */
  dirty: 8,
  /** In its class's list (set) or heap (with `inHeap`) of ready jobs. */
  ready: 16,
  inHeap: 32,
  /** Somebody watches it. */
  watched: 64,
  /** Its spec names dependencies; read again at load while it is pending. */
  dependent: 128,
  /** A dependency failed; it ends when the propagation reaches it. */
  doomed: 256,
  /** The parent of an array's children. */
  array: 512,
  /** What survives a restart. */
  durable: 1 | 2 | 4 | 128 | 512,
} as const;

const CHUNK_BITS = 14;
const CHUNK_ROWS = 1 << CHUNK_BITS;
const CHUNK_MASK = CHUNK_ROWS - 1;

/** Bytes of a job's id, and of the digest of its request. */
const ID_BYTES = 16;

/** No row, no link. */
export const NONE = -1;

/** Columns of 16,384 jobs. Preallocated whole, so that growth never copies. */
class JobChunk {
  readonly id = new Uint8Array(CHUNK_ROWS * ID_BYTES);
  readonly digest = new Uint8Array(CHUNK_ROWS * ID_BYTES);
  readonly number = new Float64Array(CHUNK_ROWS);
  readonly createdAt = new Float64Array(CHUNK_ROWS);
  readonly runnableAt = new Float64Array(CHUNK_ROWS);
  readonly state = new Uint8Array(CHUNK_ROWS);
  readonly onNodeLost = new Uint8Array(CHUNK_ROWS);
  readonly flags = new Uint16Array(CHUNK_ROWS);
  readonly attempt = new Uint16Array(CHUNK_ROWS);
  readonly generation = new Uint32Array(CHUNK_ROWS);
  readonly queue = new Int32Array(CHUNK_ROWS);
  readonly class = new Int32Array(CHUNK_ROWS);
  readonly definition = new Int32Array(CHUNK_ROWS);
  readonly user = new Int32Array(CHUNK_ROWS);
  readonly submitter = new Int32Array(CHUNK_ROWS);
  readonly retry = new Int32Array(CHUNK_ROWS);
  /** Neighbours in the class's list, or the place in its heap (`next`). */
  readonly next = new Int32Array(CHUNK_ROWS);
  readonly previous = new Int32Array(CHUNK_ROWS);
  readonly openDependencies = new Int32Array(CHUNK_ROWS);
  readonly firstDependent = new Int32Array(CHUNK_ROWS);
  /** Slot of the attempt that is placed. */
  readonly placed = new Int32Array(CHUNK_ROWS);
}

type NumberColumn = 'number' | 'createdAt' | 'runnableAt' | 'attempt' | 'generation' | 'queue' | 'class' | 'definition';
type LinkColumn =
  | 'user'
  | 'submitter'
  | 'retry'
  | 'next'
  | 'previous'
  | 'openDependencies'
  | 'firstDependent'
  | 'placed';

/** Jobs as rows of typed-array columns (DESIGN D4), found by id and by number. Rows are reused; `generation` tells. */
export class JobTable {
  private readonly chunks: JobChunk[] = [];
  private readonly freeRows: number[] = [];
  private rows = 0;
  private readonly byId = new RowIndex((row) => this.idHash(row));
  private readonly byNumber = new RowIndex((row) => numberHash(this.get('number', row)));

  /** Rows in use. */
  get size(): number {
    return this.rows - this.freeRows.length;
  }

  /** Rows ever allocated: the bound of a scan over all rows. */
  get rowBound(): number {
    return this.rows;
  }

  get(column: NumberColumn | LinkColumn, row: number): number {
    return this.chunk(row)[column][row & CHUNK_MASK] as number;
  }

  set(column: NumberColumn | LinkColumn, row: number, value: number): void {
    this.chunk(row)[column][row & CHUNK_MASK] = value;
  }

  /** 0 for a row that is free. */
  state(row: number): JobState {
    return this.chunk(row).state[row & CHUNK_MASK] as JobState;
  }

  setState(row: number, state: JobState): void {
    this.chunk(row).state[row & CHUNK_MASK] = state;
  }

  onNodeLost(row: number): OnNodeLost {
    return this.chunk(row).onNodeLost[row & CHUNK_MASK] as OnNodeLost;
  }

  setOnNodeLost(row: number, value: OnNodeLost): void {
    this.chunk(row).onNodeLost[row & CHUNK_MASK] = value;
  }

  has(row: number, flag: number): boolean {
    return ((this.chunk(row).flags[row & CHUNK_MASK] as number) & flag) !== 0;
  }

  flags(row: number): number {
    return this.chunk(row).flags[row & CHUNK_MASK] as number;
  }

  setFlag(row: number, flag: number, on: boolean): void {
    const { flags } = this.chunk(row);
    const at = row & CHUNK_MASK;
    flags[at] = on ? (flags[at] as number) | flag : (flags[at] as number) & ~flag;
  }

  id(row: number): JobIdBytes {
    const at = (row & CHUNK_MASK) * ID_BYTES;
    return this.chunk(row).id.slice(at, at + ID_BYTES);
  }

  digest(row: number): Uint8Array {
    const at = (row & CHUNK_MASK) * ID_BYTES;
    return this.chunk(row).digest.slice(at, at + ID_BYTES);
  }

  /** The first word of the id: enough to rule most rows out when looking for a prefix. */
  idWord(row: number): number {
    return wordAt(this.chunk(row).id, (row & CHUNK_MASK) * ID_BYTES);
  }

  findById(id: JobIdBytes): number {
    return this.byId.find(idHash(id, 0), (row) => {
      const bytes = this.chunk(row).id;
      const at = (row & CHUNK_MASK) * ID_BYTES;
      for (let i = 0; i < ID_BYTES; i++) if (bytes[at + i] !== id[i]) return false;
      return true;
    });
  }

  findByNumber(number: number): number {
    return this.byNumber.find(numberHash(number), (row) => this.get('number', row) === number);
  }

  /** A row of its own for a new job, linked to nothing. */
  allocate(id: JobIdBytes, digest: Uint8Array, number: number): number {
    const row = this.freeRows.pop() ?? this.rows++;
    if (row >> CHUNK_BITS === this.chunks.length) this.chunks.push(new JobChunk());
    const chunk = this.chunk(row);
    const at = row & CHUNK_MASK;
    chunk.id.set(id, at * ID_BYTES);
    chunk.digest.set(digest, at * ID_BYTES);
    chunk.number[at] = number;
    chunk.runnableAt[at] = 0;
    chunk.flags[at] = 0;
    chunk.attempt[at] = 0;
    chunk.openDependencies[at] = 0;
    for (const column of ['next', 'previous', 'firstDependent', 'placed'] as const) chunk[column][at] = NONE;
    this.byId.insert(row);
    this.byNumber.insert(row);
    return row;
  }

  /** Gives a row back. Whoever kept its number can tell by `generation`. */
  release(row: number): void {
    this.byId.remove(row);
    this.byNumber.remove(row);
    const chunk = this.chunk(row);
    const at = row & CHUNK_MASK;
    chunk.state[at] = 0;
    chunk.generation[at] = (chunk.generation[at] as number) + 1;
    this.freeRows.push(row);
  }

  /** Visits every row whose state is among `states` (bit n: state n), newest chunk first: one look at a byte a row. */
  visit(states: number, visitor: (row: number, number: number) => void): void {
    for (let index = this.chunks.length - 1; index >= 0; index--) {
      const { state, number } = this.chunks[index] as JobChunk;
      for (let at = CHUNK_MASK; at >= 0; at--) {
        if (((1 << (state[at] as number)) & states) !== 0) visitor((index << CHUNK_BITS) | at, number[at] as number);
      }
    }
  }

  /** Every row in use. */
  *all(): Generator<number> {
    for (let row = 0; row < this.rows; row++) if ((this.state(row) as number) !== 0) yield row;
  }

  sanityCheck(): void {
    let used = 0;
    for (const row of this.all()) {
      used++;
      assert(this.findById(this.id(row)) === row, `row ${row} is not found by its id`);
      assert(this.findByNumber(this.get('number', row)) === row, `row ${row} is not found by its number`);
    }
    assert(used === this.size, `${used} rows are in use, ${this.size} are counted`);
    assert(this.byId.size === used && this.byNumber.size === used, 'an index holds rows that are not in use');
  }

  private chunk(row: number): JobChunk {
    return known(this.chunks[row >> CHUNK_BITS], 'chunk');
  }

  private idHash(row: number): number {
    return idHash(this.chunk(row).id, (row & CHUNK_MASK) * ID_BYTES);
  }
}

function wordAt(bytes: Uint8Array, at: number): number {
  const high = ((bytes[at] as number) << 24) | ((bytes[at + 1] as number) << 16);
  return (high | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number)) >>> 0;
}

/** Clients choose ids: every bit counts. */
function idHash(bytes: Uint8Array, at: number): number {
  const half = mix(mix(0, wordAt(bytes, at)), wordAt(bytes, at + 4));
  return mix(mix(half, wordAt(bytes, at + 8)), wordAt(bytes, at + 12));
}

function numberHash(number: number): number {
  return mix(mix(0, Math.floor(number / 2 ** 32)), number >>> 0);
}
