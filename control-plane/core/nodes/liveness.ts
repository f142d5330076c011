import { loseAttempt } from '../jobs/attempt-end.ts';
import {
  LIVENESS_INTERVAL_MS,
  LOST_AFTER_MASS_SILENCE_MS,
  LOST_AFTER_MS,
  SILENT_AFTER_MS,
  WAIT_FOR_NODE_MS,
} from '../limits.ts';
import type { CoreState, Node } from '../state.ts';
import { OnNodeLost } from '../types.ts';
import { refreshNode } from './capacity.ts';
import { updateNodeState } from './node-state.ts';

/** Looks at every node's silence, twice a second. */
export function checkLiveness(core: CoreState): void {
  if (core.elapsedMs < core.nextLivenessMs) return;
  core.nextLivenessMs = core.elapsedMs + LIVENESS_INTERVAL_MS;
  let silent = 0;
  for (const node of core.nodes.values()) {
    noteSilence(core, node);
    if (node.silent) silent += 1;
  }
  // Many at once: a switch, a power strip, or we ourselves were away. Nothing is given up in haste.
  const lostAfter = core.nodes.size > 1 && silent * 2 > core.nodes.size ? LOST_AFTER_MASS_SILENCE_MS : LOST_AFTER_MS;
  for (const node of core.nodes.values()) if (node.silent) noteLoss(core, node, lostAfter);
}

function silence(core: CoreState, node: Node): number {
  return core.elapsedMs - node.lastHeardElapsedMs;
}

function noteSilence(core: CoreState, node: Node): void {
  if (!node.silent && !node.off && silence(core, node) >= SILENT_AFTER_MS) {
    node.silent = true;
    updateNodeState(core, node, 'no word from its agent for 15 seconds');
  }
  for (const [cls, { untilMs }] of node.rejections) {
    if (core.elapsedMs < untilMs) continue;
    node.rejections.delete(cls);
    node.environment.freed = true;
    refreshNode(node);
  }
}

function noteLoss(core: CoreState, node: Node, lostAfter: number): void {
  if (!node.lost && silence(core, node) >= lostAfter) {
    node.lost = true;
    updateNodeState(core, node, 'no word from its agent for too long');
    giveUp(core, node, (onNodeLost) => onNodeLost !== OnNodeLost.wait);
  }
  if (node.lost && !node.waitExpired && silence(core, node) >= WAIT_FOR_NODE_MS) {
    node.waitExpired = true;
    giveUp(core, node, () => true);
  }
}

/** Ends a node's attempts as lost. They may still be running there: what they hold is not offered until it is known. */
export function giveUp(core: CoreState, node: Node, which: (onNodeLost: OnNodeLost) => boolean): number {
  const given = [...node.attempts.values()].filter((placed) => which(core.jobs.onNodeLost(placed.row)));
  for (const placed of given) {
    const overlap = core.jobs.onNodeLost(placed.row) === OnNodeLost.rerun ? '; it may still be running there' : '';
    loseAttempt(core, placed, `node "${node.name}" was lost${overlap}`, true);
  }
  return given.length;
}

/** A word from the node: any message counts. */
export function heard(core: CoreState, node: Node): void {
  node.lastHeardElapsedMs = core.elapsedMs;
  node.lastSeenAtMs = core.wallMs;
  if (!node.silent && !node.lost) return;
  node.silent = false;
  node.lost = false;
  node.waitExpired = false;
  updateNodeState(core, node, 'its agent is heard again');
}
