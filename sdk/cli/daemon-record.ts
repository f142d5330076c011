import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

// What a running server or agent leaves in the data directory, so that `up`, `down` and `status` find it again. A pid
// alone could by now be somebody else's; with the start time of the process it cannot.

export type DaemonKind = 'server' | 'agent';

export interface DaemonRecord {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat; empty where there is no /proc. */
  readonly startTime: string;
  /** Of an agent. */
  readonly nodeName?: string;
}

function recordPath(dataDirectory: string, kind: DaemonKind): string {
  return join(dataDirectory, 'run', `${kind}.json`);
}

/** Notes this process as the one that runs. */
export function writeRecord(dataDirectory: string, kind: DaemonKind, details: { nodeName?: string } = {}): void {
  const path = recordPath(dataDirectory, kind);
  mkdirSync(join(dataDirectory, 'run'), { recursive: true, mode: 0o700 });
  const record: DaemonRecord = { pid: process.pid, startTime: startTimeOf(process.pid) ?? '', ...details };
  writeFileSync(`${path}.new`, JSON.stringify(record), { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** Removes the note, if it is this process's. */
export function removeRecord(dataDirectory: string, kind: DaemonKind): void {
  if (readRecord(dataDirectory, kind)?.pid === process.pid) rmSync(recordPath(dataDirectory, kind), { force: true });
}

/** The one that runs now; undefined when there is none. */
export function findRunning(dataDirectory: string, kind: DaemonKind): DaemonRecord | undefined {
  const record = readRecord(dataDirectory, kind);
  return record !== undefined && isAlive(record) ? record : undefined;
}

function readRecord(dataDirectory: string, kind: DaemonKind): DaemonRecord | undefined {
  try {
    const value = JSON.parse(readFileSync(recordPath(dataDirectory, kind), 'utf8')) as DaemonRecord;
    return Number.isSafeInteger(value.pid) && value.pid > 0 ? value : undefined;
  } catch {
    return undefined;
  }
}

export function isAlive({ pid, startTime }: DaemonRecord): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  return startTime === '' || startTimeOf(pid) === startTime;
}

/** Undefined when the process is gone or a zombie. */
function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name stands in parentheses and may hold anything; what follows is in columns, the state first.
    const columns = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return columns[0] === 'Z' ? undefined : columns[19];
  } catch {
    return undefined;
  }
}
