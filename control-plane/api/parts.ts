import type { Inventory, NodeUsage } from '@galley/proto';
import type { LogStore } from '../logs/log-store.ts';
import type { EventLog } from '../turn/event-log.ts';
import type { Turns } from '../turn/turns.ts';
import type { JobWatcher } from '../turn/watch.ts';

/** What an agent says of its host beyond what the core schedules by. */
export interface NodeFacts {
  readonly inventory?: Inventory | undefined;
  readonly usage?: NodeUsage | undefined;
  /** The agent's clock less ours, in milliseconds. */
  readonly clockOffsetMs?: number | undefined;
}

/** Where the agent plane keeps those facts. Undefined for a node that has not connected since the start. */
export interface NodeDirectory {
  get(account: string, node: string): NodeFacts | undefined;
  delete(account: string, node: string): void;
}

/** What the handlers are made of. */
export interface ApiParts {
  readonly turns: Turns;
  readonly watcher: Pick<JobWatcher, 'watch'>;
  readonly events: Pick<EventLog, 'subscribe'>;
  readonly logs: LogStore;
  readonly nodes: NodeDirectory;
}
