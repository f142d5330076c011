import type { Inventory, NodeUsage } from '@galley/proto';
import { MAX_NODES } from '../core/limits.ts';

/** What an agent told about its host and the core has no use for. In memory only. */
export interface NodeFacts {
  readonly inventory: Inventory | undefined;
  readonly usage: NodeUsage | undefined;
  /** The agent's clock less ours, in ms, as of its last message that carried a time. */
  readonly clockOffsetMs: number;
}

/** The last that each node said of itself, by account and name; also of those that are away. */
export class NodeDirectory {
  readonly #facts = new Map<string, NodeFacts>();

  get(account: string, node: string): NodeFacts | undefined {
    return this.#facts.get(key(account, node));
  }

  update(account: string, node: string, facts: Partial<NodeFacts>): void {
    const name = key(account, node);
    const before = this.#facts.get(name) ?? { inventory: undefined, usage: undefined, clockOffsetMs: 0 };
    this.#facts.set(name, { ...before, ...facts });
    if (this.#facts.size <= MAX_NODES) return;
    const [oldest] = this.#facts.keys();
    if (oldest !== undefined) this.#facts.delete(oldest);
  }

  delete(account: string, node: string): void {
    this.#facts.delete(key(account, node));
  }
}

function key(account: string, node: string): string {
  return `${account}/${node}`;
}
