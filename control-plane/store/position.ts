import type { Position } from './store.ts';

/**
 * Orders two positions: negative when `a` is older than `b`, positive when it is newer, 0 when they are the same. A store
 * whose position is older than one that any witness (the HEAD file, an agent) was shown has lost committed batches.
 */
export function comparePositions(a: Position, b: Position): number {
  return a.epoch === b.epoch ? a.sequence - b.sequence : a.epoch - b.epoch;
}

/** The position of a store that has never committed anything. */
export const FIRST_POSITION: Position = Object.freeze({ epoch: 1, sequence: 0 });

/** The largest epoch and the largest sequence: both travel in 6 bytes. At 10,000 turns a second that is 890 years. */
export const MAX_POSITION_NUMBER = 2 ** 48 - 1;

/** For messages: `epoch 2, sequence 17`. */
export function describePosition(position: Position): string {
  return `epoch ${position.epoch}, sequence ${position.sequence}`;
}
