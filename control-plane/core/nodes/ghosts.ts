import { hexJobId } from '../ids.ts';
import type { CoreState, Node } from '../state.ts';
import type { JobIdBytes } from '../types.ts';
import { chargeNode, refreshNode } from './capacity.ts';
import { writeNode } from './records.ts';

/** Names an attempt among a node's ghosts and reports. */
export function ghostKey(jobId: JobIdBytes, childIndex: number, attempt: number): string {
  return `${hexJobId(jobId)}/${childIndex}/${attempt}`;
}

/** The node says that a given-up attempt is gone: what it held is free. */
export function layGhost(core: CoreState, node: Node, key: string): void {
  const ghost = node.ghosts.get(key);
  if (ghost === undefined) return;
  node.ghosts.delete(key);
  chargeNode(node, ghost.requirements, -1);
  writeNode(core, node);
  refreshNode(node);
}
