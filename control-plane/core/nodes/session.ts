import { nodeOf } from '../scheduler/pass.ts';
import type { CoreState, Node } from '../state.ts';
import type { NodeDisconnected, NodeHeartbeat, NodeOfferChanged, NodeReports } from '../types.ts';
import { measuredMemory, recomputeFree, refreshNode } from './capacity.ts';
import { stopAwaiting } from './connect.ts';
import { heard } from './liveness.ts';
import { updateNodeState } from './node-state.ts';
import { writeNode } from './records.ts';
import { applyReport } from './reports.ts';

/** The node of a message, when it comes from the connection that speaks for the node now. */
function speaker(core: CoreState, input: { account: string; node: string; session: number }): Node | undefined {
  const node = nodeOf(core, input.account, input.node);
  return node?.connected === true && node.session === input.session ? node : undefined;
}

export function nodeReports(core: CoreState, input: NodeReports): boolean {
  const node = speaker(core, input);
  if (node === undefined) return false;
  heard(core, node);
  for (const report of input.reports) applyReport(core, node, report);
  if (input.historyEnded) stopAwaiting(core, node);
  if (node.drainReason !== undefined) updateNodeState(core, node, 'its last job ended');
  return true;
}

export function nodeHeartbeat(core: CoreState, input: NodeHeartbeat): boolean {
  const node = speaker(core, input);
  if (node === undefined) return false;
  heard(core, node);
  const measured = measuredMemory(node.offer, input.memoryAvailableBytes);
  if (measured !== node.measuredMemoryBytes) {
    node.measuredMemoryBytes = measured;
    refreshNode(node);
  }
  return true;
}

export function nodeOfferChanged(core: CoreState, input: NodeOfferChanged): boolean {
  const node = speaker(core, input);
  if (node === undefined) return false;
  heard(core, node);
  node.offer = input.offer;
  node.version += 1;
  recomputeFree(node);
  writeNode(core, node);
  refreshNode(node);
  return true;
}

/** The connection is gone. The node is not: it turns silent if it stays away. */
export function nodeDisconnected(core: CoreState, input: NodeDisconnected): undefined {
  const node = speaker(core, input);
  if (node === undefined) return undefined;
  node.connected = false;
  node.credit = 0;
  refreshNode(node);
  return undefined;
}
