import { encodeRecord, type NodeRecord } from '../records/config.ts';
import { nodeKey } from '../records/keys.ts';
import { type CoreState, type Node, put } from '../state.ts';

/** Writes what a node must not forget over a restart. */
export function writeNode(core: CoreState, node: Node): void {
  const record: NodeRecord = {
    account: node.account,
    name: node.name,
    environment: node.environment.name,
    incarnation: node.incarnation,
    bootId: node.bootId,
    offer: node.offer,
    drainReason: node.drainReason,
    off: node.off,
    joinedAtMs: node.joinedAtMs,
    version: node.version,
    ghosts: [...node.ghosts.values()].map((ghost) => ({ ...ghost, jobId: Buffer.from(ghost.jobId).toString('hex') })),
  };
  put(core, nodeKey(node.account, node.name), encodeRecord(record));
}
