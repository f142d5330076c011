import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Counters, Leaf, LeafRecord } from '../cgroup/cgroup.ts';
import { type ProcessIdentity, readPrepared } from '../launcher/records.ts';
import type { ProcessGroup } from './process-group.ts';
import type { Outcome, Started } from './runtime.ts';

/** What a restarted agent has to know about an attempt: the head of `launch`, written before the launcher hears of it. */
export interface LaunchRecord {
  readonly key: string;
  readonly bootId: string;
  readonly launchedAtUptimeMs: number;
  readonly timeoutSeconds?: number;
  readonly stopGraceSeconds: number;
  readonly program: string;
  readonly workingDirectory?: string;
  /** Absent where there are no control groups. */
  readonly leaf?: LeafRecord;
  /** The leaf's counters at the start: what it counted for earlier attempts. */
  readonly baseline?: Counters;
}

/** A stop that has begun: `stop.json`, written before the first signal, so that a restarted agent goes on with it. */
export interface StopRecord {
  readonly cause: 'stopped' | 'timed_out';
  readonly reason: string;
  readonly killAtUptimeMs: number;
}

/**
 * An attempt in the agent's memory. `preparing` → `launching` (the launcher has the line) → `running` (the job's first
 * instruction) → `ending` (its main process is over, the rest is being killed) → `ended` (outcome told, leaf held until
 * it is released). Every phase can go to `ending`.
 */
export interface Attempt {
  readonly key: string;
  readonly directory: string;
  phase: 'preparing' | 'launching' | 'running' | 'ending' | 'ended';
  record?: LaunchRecord;
  leaf?: Leaf;
  group?: ProcessGroup;
  supervisor?: ProcessIdentity;
  startedAtUptimeMs?: number;
  stop?: StopRecord;
  outcome?: Outcome;
  readonly started: PromiseWithResolvers<Started>;
}

export function readJson<T>(directory: string, name: string): T | undefined {
  try {
    return JSON.parse(readFileSync(join(directory, name), 'utf8')) as T;
  } catch {
    // Absent, or cut short by a power cut: the same as never written.
    return undefined;
  }
}

/** Under a temporary name first: the agent may be killed in the middle of it. */
export function writeJson(directory: string, name: string, value: unknown): void {
  const temporary = join(directory, `${name}.new`);
  writeFileSync(temporary, JSON.stringify(value), { mode: 0o600 });
  renameSync(temporary, join(directory, name));
}

export const readLaunchRecord = (directory: string) => readPrepared(directory) as LaunchRecord | undefined;
export const readStopRecord = (directory: string) => readJson<StopRecord>(directory, 'stop.json');
export const writeStopRecord = (directory: string, record: StopRecord) => writeJson(directory, 'stop.json', record);
