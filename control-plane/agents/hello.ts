import { type AgentHello, type Inventory, LimitState } from '@galley/proto';
import { status } from '@grpc/grpc-js';
import type { NodeConnected, NodeOffer } from '../core/types.ts';
import type { Position } from '../store/store.ts';
import { AgentPlaneError } from './errors.ts';
import { MAX_PLACEMENT_CREDIT, PROTOCOL_MAX, PROTOCOL_MIN } from './protocol.ts';
import { toReport } from './reports.ts';

/** The environment of an agent that names none, and the account of whoever names none. */
const DEFAULT_ENVIRONMENT = 'default';
const DEFAULT_ACCOUNT = 'default';

/** The limits without which a node takes jobs only when it was told to; swap is off where it cannot be limited. */
const NEEDED_LIMITS = ['cpu', 'memory', 'pids'];

/** Turns away an agent that this control plane cannot work with. The sentence is for the agent's operator. */
export function checkHello(hello: AgentHello, clusterId: string): void {
  const { protocolMin, protocolMax } = hello;
  if (protocolMin > PROTOCOL_MAX || protocolMax < PROTOCOL_MIN) {
    const older = protocolMin > PROTOCOL_MAX ? 'control plane' : 'agent';
    throw new AgentPlaneError(
      status.FAILED_PRECONDITION,
      `the agent speaks ${versions(protocolMin, protocolMax)} of the agent protocol and this control plane ` +
        `${versions(PROTOCOL_MIN, PROTOCOL_MAX)}; upgrade the ${older}`,
    );
  }
  if (hello.clusterId !== '' && hello.clusterId !== clusterId) {
    throw new AgentPlaneError(
      status.FAILED_PRECONDITION,
      `the agent's state directory belongs to cluster ${hello.clusterId}, and this is cluster ${clusterId}; give the ` +
        'agent the address of its own cluster, or a new state directory',
    );
  }
}

function versions(min: number, max: number): string {
  return min === max ? `version ${min}` : `versions ${min} to ${max}`;
}

/** Whether everything that the agent remembers is needed: the epoch rose since it was last sent something. */
export function needsHistory(hello: AgentHello, position: Position): boolean {
  return !hello.completeHistory && hello.witness !== undefined && Number(hello.witness.epoch) < position.epoch;
}

/** The protocol version that both sides speak. */
export function commonProtocol(hello: AgentHello): number {
  return Math.min(hello.protocolMax, PROTOCOL_MAX);
}

/** Who connects: the account and name of the node. */
export function nodeOf(hello: AgentHello): { readonly account: string; readonly node: string } {
  return { account: hello.account === '' ? DEFAULT_ACCOUNT : hello.account, node: hello.nodeName };
}

/** A hello as the core takes it. */
export function toNodeConnected(hello: AgentHello, session: number): NodeConnected {
  const { witness } = hello;
  return {
    kind: 'nodeConnected',
    ...nodeOf(hello),
    environment: hello.computeEnvironment === '' ? DEFAULT_ENVIRONMENT : hello.computeEnvironment,
    session,
    incarnation: hello.incarnation,
    bootId: hello.bootId,
    offer: toOffer(hello.inventory, hello.features),
    credit: Math.min(Math.max(hello.placementCredit, 0), MAX_PLACEMENT_CREDIT),
    watermark: Number(hello.placementWatermark),
    witness: { epoch: Number(witness?.epoch ?? 0n), sequence: Number(witness?.sequence ?? 0n) },
    // An agent that was never sent anything has nothing to remember.
    completeHistory: hello.completeHistory || witness === undefined,
    historyContinues: hello.historyContinues,
    attempts: hello.attempts.map(toReport),
  };
}

/** What a node offers jobs. */
export function toOffer(inventory: Inventory | undefined, features: readonly string[]): NodeOffer {
  const { milliVcpu = 0n, memoryBytes = 0n, named = [] } = inventory?.allocatable ?? {};
  return {
    milliVcpu: Number(milliVcpu),
    memoryBytes: Number(memoryBytes),
    named: named.map(({ name, count }) => ({ name, count: Number(count) })).sort((a, b) => compare(a.name, b.name)),
    features: [...(inventory?.features.length ? inventory.features : features)].sort(compare),
    takesJobs: inventory !== undefined && (inventory.allowUnlimited || boundsJobs(inventory)),
  };
}

function boundsJobs({ limits }: Inventory): boolean {
  return NEEDED_LIMITS.every((needed) =>
    limits.some(({ resource, state }) => resource === needed && state === LimitState.ENFORCED),
  );
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
