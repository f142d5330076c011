import { assert } from '../assert.ts';
import { MAX_REJECTIONS_PER_NODE, MEASURED_MEMORY_PARTS } from '../limits.ts';
import type { Node } from '../state.ts';
import { type NodeOffer, NodeState, type Requirements } from '../types.ts';

/** Takes resources from a node (`sign` 1) or gives them back (-1). */
export function chargeNode(node: Node, { milliVcpu, memoryBytes, named }: Requirements, sign: 1 | -1): void {
  node.freeMilliVcpu -= sign * milliVcpu;
  node.freeMemoryBytes -= sign * memoryBytes;
  for (const { name, count } of named) node.freeNamed.set(name, (node.freeNamed.get(name) ?? 0) - sign * count);
}

/** What a node has free follows its offer, less what its attempts and ghosts hold. */
export function recomputeFree(node: Node): void {
  node.freeMilliVcpu = node.offer.milliVcpu;
  node.freeMemoryBytes = node.offer.memoryBytes;
  node.freeNamed.clear();
  for (const { name, count } of node.offer.named) node.freeNamed.set(name, count);
  for (const placed of node.attempts.values()) chargeNode(node, placed.requirements, 1);
  for (const ghost of node.ghosts.values()) chargeNode(node, ghost.requirements, 1);
}

/** Whether a node takes placements now. */
export function takesPlacements(node: Node): boolean {
  return (
    node.state === NodeState.ready &&
    node.offer.takesJobs &&
    node.unanswered < node.credit &&
    node.rejections.size < MAX_REJECTIONS_PER_NODE &&
    node.environment.enabled
  );
}

/** Memory that may be placed on a node: what is not given away, and not more than what was measured as free. */
export function placeableMemory(node: Node): number {
  return Math.min(node.freeMemoryBytes, node.measuredMemoryBytes);
}

/** Brings a node's place in the capacity index up to date; wakes parked classes when it has more room than before. */
export function refreshNode(node: Node): void {
  const { index } = node.environment;
  if (!takesPlacements(node)) {
    index.update(node.slot, 0, 0);
    return;
  }
  // Capacity that shrank below what is given away offers nothing; it is never negative in the index.
  const grew = index.update(node.slot, Math.max(0, node.freeMilliVcpu), Math.max(0, placeableMemory(node)));
  if (grew) node.environment.freed = true;
}

export function takesFeatures(offer: NodeOffer, requirements: Requirements): boolean {
  return requirements.features.every((feature) => offer.features.includes(feature));
}

/** Measured memory is rounded up in coarse steps, so that small movements change nothing. */
export function measuredMemory(offer: NodeOffer, availableBytes: number): number {
  assert(offer.memoryBytes >= 0, 'a node offers no negative memory');
  const step = Math.max(1, Math.floor(offer.memoryBytes / MEASURED_MEMORY_PARTS));
  return Math.ceil(availableBytes / step) * step;
}
