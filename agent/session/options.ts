import type { Inventory, NodeUsage } from '@galley/proto';
import type { Logger } from 'pino';
import type { Lease } from '../heartbeat/lease.ts';
import type { Journal } from '../journal/journal.ts';
import type { Attempts } from './attempts.ts';
import type { ControlPlaneAddress } from './connection.ts';

/** Deadlines of a session, in milliseconds. */
export interface SessionTimes {
  /** From dialling to the control plane's hello. */
  readonly helloMs: number;
  /** Without a word from the control plane the connection counts as dead; at least three heartbeats. */
  readonly silentMs: number;
}

export const SESSION_TIMES: SessionTimes = { helloMs: 10_000, silentMs: 15_000 };

export interface SessionOptions {
  readonly plane: ControlPlaneAddress;
  readonly node: string;
  readonly computeEnvironment: string;
  readonly account: string;
  readonly bootId: string;
  readonly journal: Journal;
  readonly attempts: Attempts;
  readonly lease: Lease;
  readonly uptimeMs: () => number;
  readonly inventory: () => Inventory;
  /** The latest sample; never waits. */
  readonly usage: () => NodeUsage;
  readonly times: SessionTimes;
  readonly log: Logger;
  /** The control plane has answered, or (false) the session is over. */
  readonly onLive: (live: boolean) => void;
}
