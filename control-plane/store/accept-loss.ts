import type { Position, Store } from './store.ts';

/**
 * Accepts that batches are missing: raises the epoch above the store's, above its own witness's and above `witness` (the
 * newest position that anybody outside presented), durably, and so makes the store whole. Returns the new position. Only
 * on an operator's word: jobs whose batches are gone are unknown from here on.
 */
export async function acceptLoss(store: Store, witness?: Position): Promise<Position> {
  const { position, integrity } = store;
  const own = integrity.kind === 'behind' ? integrity.witness.epoch : 0;
  const accepted = { epoch: Math.max(position.epoch, own, witness?.epoch ?? 0) + 1, sequence: 1 };
  await store.commit(accepted, []);
  return accepted;
}
