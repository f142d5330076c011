import { describeKey } from './checksum.ts';
import { describePosition, MAX_POSITION_NUMBER } from './position.ts';
import type { Change, Integrity, Position, ScanRange } from './store.ts';
import { MAX_BATCH_BYTES, MAX_KEY_BYTES } from './store.ts';

/** Keys that begin with this byte are the store's own. No key of Galley does: they begin with an account's name in UTF-8. */
export const RESERVED_BYTE = 0xff;

/** The first reserved key, which is the end of every caller's range. */
export const KEYS_END: Uint8Array = Uint8Array.of(RESERVED_BYTE);

/** Throws (a bug of the caller, never an operating error) unless the batch may follow what the store holds. */
export function checkCommit(
  current: Position,
  integrity: Integrity,
  position: Position,
  changes: readonly Change[],
): void {
  checkPosition(current, integrity, position);
  let bytes = 0;
  for (const { key, value } of changes) {
    checkKey(key);
    bytes += key.byteLength + (value?.byteLength ?? 0);
  }
  if (bytes > MAX_BATCH_BYTES) {
    throw new RangeError(`a batch has at most ${MAX_BATCH_BYTES} bytes of keys and values, got ${bytes}`);
  }
}

function checkPosition(current: Position, integrity: Integrity, position: Position): void {
  const { epoch, sequence } = position;
  for (const part of [epoch, sequence]) {
    if (!Number.isSafeInteger(part) || part < 1 || part > MAX_POSITION_NUMBER) {
      throw new RangeError(`a position's parts are integers from 1 to 2^48 - 1, got ${describePosition(position)}`);
    }
  }
  const follows = epoch === current.epoch ? sequence === current.sequence + 1 : epoch > current.epoch && sequence === 1;
  if (!follows) {
    throw new RangeError(`the batch ${describePosition(position)} does not follow ${describePosition(current)}`);
  }
  if (integrity.kind === 'whole') return;
  const newest = integrity.kind === 'behind' ? Math.max(current.epoch, integrity.witness.epoch) : current.epoch;
  if (epoch <= newest) {
    throw new RangeError(
      `batches are missing from the store: it takes only the first batch of an epoch above ${newest}, ` +
        `got ${describePosition(position)}`,
    );
  }
}

function checkKey(key: Uint8Array): void {
  if (key.byteLength === 0 || key.byteLength > MAX_KEY_BYTES || key[0] === RESERVED_BYTE) {
    throw new RangeError(
      `a key has 1 to ${MAX_KEY_BYTES} bytes and does not begin with 0xff, got ${key.byteLength} bytes, ${describeKey(key)}`,
    );
  }
}

/** The range without the store's own keys; undefined when nothing is left of it. */
export function callerRange(range: ScanRange): { gte: Uint8Array; lt: Uint8Array } | undefined {
  const lt = Buffer.compare(range.lt, KEYS_END) > 0 ? KEYS_END : range.lt;
  return Buffer.compare(range.gte, lt) < 0 ? { gte: range.gte, lt } : undefined;
}
