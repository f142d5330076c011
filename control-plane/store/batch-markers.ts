import { seal, unseal } from './checksum.ts';
import { RESERVED_BYTE } from './commit-rules.ts';
import { comparePositions, FIRST_POSITION } from './position.ts';
import type { Integrity, Position } from './store.ts';

/**
 * Batch markers: every batch also writes its position into a ring of `MARKER_SLOTS` keys, the slot being the sequence
 * modulo the ring's size. On opening, the newest marker is the store's position, and each of the `MARKER_SLOTS` batches
 * before it (down to the epoch's first) must have its marker in its slot: one that is absent, or still holds an older
 * position, is a batch that is gone.
 *
 * The ring finds every hole that can arise, because LevelDB drops batches only from its write-ahead log, and a slot is
 * written over only when the batch that it marked is known to stand in a table file (see `LevelStore`, "settling").
 */
export const MARKER_SLOTS = 65_536;

const MARKER_TAG = 0x6d;
const POSITION_BYTES = 6;

export const MARKERS_START: Uint8Array = Uint8Array.of(RESERVED_BYTE, MARKER_TAG);
export const MARKERS_END: Uint8Array = Uint8Array.of(RESERVED_BYTE, MARKER_TAG + 1);

/** A range in which no key is ever written: compacting it only makes LevelDB write its memory table out. */
export const EMPTY_RANGE = {
  start: Uint8Array.of(RESERVED_BYTE, 0xff, 0),
  end: Uint8Array.of(RESERVED_BYTE, 0xff, 1),
} as const;

/** The marker of a batch: its key, and its value with the checksum. */
export function encodeMarker(position: Position): { key: Uint8Array; value: Uint8Array } {
  const slot = position.sequence % MARKER_SLOTS;
  const key = Uint8Array.of(RESERVED_BYTE, MARKER_TAG, slot >>> 8, slot & 0xff);
  const value = Buffer.allocUnsafe(2 * POSITION_BYTES);
  value.writeUIntBE(position.epoch, 0, POSITION_BYTES);
  value.writeUIntBE(position.sequence, POSITION_BYTES, POSITION_BYTES);
  return { key, value: seal(key, value) };
}

/** What the markers on disk say. `add` each of them, in any order, then ask. */
export class MarkerCensus {
  readonly #where: string;
  readonly #epochs = new Float64Array(MARKER_SLOTS);
  readonly #sequences = new Float64Array(MARKER_SLOTS);
  #newest: Position = FIRST_POSITION;

  /** `where` names the store in errors. */
  constructor(where: string) {
    this.#where = where;
  }

  /** Throws `CORRUPT` when the marker does not match its checksum. */
  add(key: Uint8Array, sealed: Uint8Array): void {
    const value = unseal(key, sealed, this.#where);
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    const epoch = bytes.readUIntBE(0, POSITION_BYTES);
    const sequence = bytes.readUIntBE(POSITION_BYTES, POSITION_BYTES);
    const slot = sequence % MARKER_SLOTS;
    this.#epochs[slot] = epoch;
    this.#sequences[slot] = sequence;
    const position = { epoch, sequence };
    if (comparePositions(position, this.#newest) > 0) this.#newest = position;
  }

  get newest(): Position {
    return this.#newest;
  }

  /** `whole`, or the hole; the witness is not asked here. */
  get contiguity(): Integrity {
    const { epoch, sequence } = this.#newest;
    let missing = 0;
    let firstMissing = sequence;
    for (let expected = sequence; expected > Math.max(0, sequence - MARKER_SLOTS); expected--) {
      const slot = expected % MARKER_SLOTS;
      if (this.#epochs[slot] === epoch && this.#sequences[slot] === expected) continue;
      missing++;
      firstMissing = expected;
    }
    return missing === 0
      ? { kind: 'whole' }
      : { kind: 'hole', missing, firstMissing: { epoch, sequence: firstMissing } };
  }
}
