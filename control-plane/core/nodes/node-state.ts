import { type CoreState, emit, type Node } from '../state.ts';
import { NodeState } from '../types.ts';
import { refreshNode } from './capacity.ts';

/*
 * The life of a node, derived from what is known of it:
 *
 *   OFF       an operator confirmed it            ◄─ confirmNodeOff      ─► any, when its agent connects
 *   JOINED    known, not heard from since start
 *   SILENT    nothing heard for 15 s; its jobs stay RUNNING and say so
 *   LOST      silent for 10 min; `onNodeLost` of each job decides
 *   DRAINING  takes nothing new; DRAINED when it is empty
 *   READY     connected and heard
 */
export function deriveState(node: Node): NodeState {
  if (node.off) return NodeState.off;
  if (node.lost) return NodeState.lost;
  if (node.silent) return NodeState.silent;
  if (!node.connected) return node.state === NodeState.joined ? NodeState.joined : node.state;
  if (node.drainReason !== undefined) return node.attempts.size === 0 ? NodeState.drained : NodeState.draining;
  return NodeState.ready;
}

/** Brings a node's state up to date after anything that it depends on changed. */
export function updateNodeState(core: CoreState, node: Node, reason: string): void {
  const from = node.state;
  const to = deriveState(node);
  if (from !== to) {
    node.state = to;
    emit(core, { kind: 'nodeChanged', account: node.account, node: node.name, from, to, reason });
  }
  refreshNode(node);
}

/** A sentence that says why a node is in its state. */
export function stateReason(node: Node): string {
  switch (node.state) {
    case NodeState.draining:
    case NodeState.drained:
      return node.drainReason ?? '';
    case NodeState.silent:
      return 'no word from its agent for 15 seconds or more';
    case NodeState.lost:
      return 'no word from its agent for 10 minutes or more';
    case NodeState.joined:
      return 'known from before; its agent has not connected since the control plane started';
    case NodeState.off:
      return 'an operator confirmed that it is off';
    default:
      return node.offer.takesJobs ? '' : 'limits are not enforced; start its agent with --allow-unlimited to use it';
  }
}
