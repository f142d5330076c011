import { nodeKey } from '../records/keys.ts';
import { nodeOf } from '../scheduler/pass.ts';
import { type CoreState, type Node, remove, scoped, updateCluster } from '../state.ts';
import type { ConfirmNodeOff, DeleteNode, Done, DrainNode, Refusal, Replies, UndrainNode } from '../types.ts';
import { leaveEnvironment } from './connect.ts';
import { giveUp } from './liveness.ts';
import { updateNodeState } from './node-state.ts';
import { writeNode } from './records.ts';

const DONE: Done = { ok: true };

function unknownNode(name: string): Refusal {
  return { ok: false, code: 'notFound', field: 'name', message: `node "${name}" does not exist` };
}

export function drainNode(core: CoreState, { account, node: name, reason }: DrainNode): Done | Refusal {
  return change(core, account, name, (node) => {
    node.drainReason = reason;
  });
}

export function undrainNode(core: CoreState, { account, node: name }: UndrainNode): Done | Refusal {
  return change(core, account, name, (node) => {
    node.drainReason = undefined;
  });
}

function change(core: CoreState, account: string, name: string, apply: (node: Node) => void): Done | Refusal {
  const node = nodeOf(core, account, name);
  if (node === undefined) return unknownNode(name);
  apply(node);
  node.version += 1;
  writeNode(core, node);
  updateNodeState(core, node, node.drainReason ?? 'an operator ended the drain');
  return DONE;
}

/** An operator's word that a host is off: what ran there is over, and retry rules apply. */
export function confirmNodeOff(core: CoreState, { account, node: name }: ConfirmNodeOff): Replies['confirmNodeOff'] {
  const node = nodeOf(core, account, name);
  if (node === undefined) return unknownNode(name);
  if (node.connected && !node.silent) {
    const message = `node "${name}" is connected and heard from: it is not off`;
    return { ok: false, code: 'failedPrecondition', field: 'name', message };
  }
  node.off = true;
  node.version += 1;
  const endedAttempts = giveUp(core, node, () => true);
  waive(core, node);
  writeNode(core, node);
  updateNodeState(core, node, 'an operator confirmed that it is off');
  return { ok: true, endedAttempts };
}

export function deleteNode(core: CoreState, { account, node: name }: DeleteNode): Done | Refusal {
  const node = nodeOf(core, account, name);
  if (node === undefined) return unknownNode(name);
  if (node.connected) {
    const message = `node "${name}" is connected; stop its agent first`;
    return { ok: false, code: 'failedPrecondition', field: 'name', message };
  }
  if (node.attempts.size > 0) {
    const message = `node "${name}" has ${node.attempts.size} attempts; confirm that it is off first`;
    return { ok: false, code: 'failedPrecondition', field: 'name', message };
  }
  waive(core, node);
  leaveEnvironment(node);
  core.nodes.delete(scoped(account, name));
  remove(core, nodeKey(account, name));
  return DONE;
}

function waive(core: CoreState, node: Node): void {
  if (!core.awaitedNodes.delete(scoped(node.account, node.name))) return;
  updateCluster(core, { awaitedNodes: [...core.awaitedNodes] });
}
