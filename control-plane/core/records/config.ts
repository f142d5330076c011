import type { EnvironmentSettings, NodeOffer, QueueSettings, Requirements } from '../types.ts';

// Records that are few and change rarely are JSON: easy to look at, easy to extend.

export interface QueueRecord extends QueueSettings {
  readonly account: string;
  readonly name: string;
  readonly version: number;
  readonly createdAtMs: number;
  /** Deleted; its jobs are being ended. */
  readonly deleting: boolean;
}

export interface EnvironmentRecord extends EnvironmentSettings {
  readonly account: string;
  readonly name: string;
  readonly version: number;
  readonly createdAtMs: number;
}

export interface NodeRecord {
  readonly account: string;
  readonly name: string;
  readonly environment: string;
  readonly incarnation: string;
  readonly bootId: string;
  readonly offer: NodeOffer;
  readonly drainReason: string | undefined;
  readonly off: boolean;
  readonly joinedAtMs: number;
  readonly version: number;
  /** Attempts that were given up and may still hold resources there. `jobId` in hexadecimal digits. */
  readonly ghosts: readonly {
    readonly jobId: string;
    /** Absent: not a child of an array. */
    readonly childIndex?: number;
    readonly attempt: number;
    readonly epoch: number;
    readonly requirements: Requirements;
  }[];
}

export interface DefinitionRecord {
  readonly account: string;
  readonly name: string;
  readonly revision: number;
  readonly active: boolean;
  readonly createdAtMs: number;
  readonly deregisteredAtMs: number;
  /** Base64 of the encoded body. */
  readonly body: string;
}

/** What the cluster as a whole must not forget. */
export interface ClusterRecord {
  readonly accounts: readonly string[];
  /** The next job's number. */
  readonly nextNumber: number;
  /** Wall time never goes back, not even over a restart. */
  readonly wallMs: number;
  /** The epoch that nodes were last reconciled with. */
  readonly epoch: number;
  /** Why an operator paused scheduling, and when. */
  readonly pause: { readonly reason: string; readonly sinceMs: number } | undefined;
  /** After an epoch change: nodes that have not reported since. */
  readonly awaitedNodes: readonly string[];
  /** Numbers from here to `EPOCH_NUMBER_GAP` further may have been given to jobs that the last epoch change lost. */
  readonly lostNumbersFrom?: number;
  readonly endedJobs: number;
  readonly adoptedAttempts: number;
  /** Restored and not resumed yet. */
  readonly restoredAtMs: number | undefined;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export function encodeRecord(
  record: QueueRecord | EnvironmentRecord | NodeRecord | DefinitionRecord | ClusterRecord,
): Uint8Array {
  return encoder.encode(JSON.stringify(record));
}

export function decodeRecord<T extends QueueRecord | EnvironmentRecord | NodeRecord | DefinitionRecord | ClusterRecord>(
  bytes: Uint8Array,
): T {
  return JSON.parse(decoder.decode(bytes)) as T;
}
