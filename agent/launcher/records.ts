import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * The files of an attempt that agent and supervisor share. `claim` says who has it. `record` is one file for
 * everything else, because creating files is the dearest part of a start: the agent writes blank lines and, after
 * them, what it must find again; launch and supervisor write their lines over the blanks, through one descriptor. On
 * a full disk there is then still room to say how the job ended.
 */
const PREPARED_BYTES = 512;

export interface ProcessIdentity {
  readonly pid: number;
  /** Start time in clock ticks since boot: with the pid it names a process for the life of this boot. */
  readonly born: number;
}

export type Claim =
  | { readonly by: 'nobody' }
  | { readonly by: 'agent' }
  | { readonly by: 'supervisor'; readonly supervisor: ProcessIdentity; readonly bootId: string }
  /** Created, and nothing in it yet. */
  | { readonly by: 'somebody' };

export interface LaunchProgress {
  readonly process?: ProcessIdentity;
  readonly startedAtUptimeMs?: number;
  /** Set when the job's own command was never reached. */
  readonly failure?: string;
}

export interface ExitRecord {
  readonly code: number;
  readonly how: 'exited' | 'signalled' | 'unknown';
  readonly endedAtUptimeMs: number;
  readonly bootId: string;
}

/** Writes `record` for an attempt that the launcher has not heard of yet. */
export function prepareRecord(directory: string, launch: unknown): void {
  writeFileSync(join(directory, 'record'), `${'\n'.repeat(PREPARED_BYTES)}${JSON.stringify(launch)}\n`, {
    mode: 0o600,
  });
}

/** What the agent wrote there; undefined when it died before it had, and then nothing was launched. */
export function readPrepared(directory: string): unknown {
  const text = read(directory, 'record') ?? '';
  const start = text.indexOf('\n{');
  if (start < 0 || !text.endsWith('}\n')) return undefined;
  try {
    return JSON.parse(text.slice(start));
  } catch {
    return undefined;
  }
}

function read(directory: string, name: string): string | undefined {
  try {
    return readFileSync(join(directory, name), 'utf8');
  } catch {
    return undefined;
  }
}

export function readClaim(directory: string): Claim {
  const text = read(directory, 'claim');
  if (text === undefined) return { by: 'nobody' };
  if (text.startsWith('agent')) return { by: 'agent' };
  const match = /^supervisor (\d+) (\d+) (\S+) end\n/.exec(text);
  if (match === null) return { by: 'somebody' };
  return {
    by: 'supervisor',
    supervisor: { pid: Number(match[1]), born: Number(match[2]) },
    bootId: match[3] ?? '',
  };
}

/** Claims the attempt for the agent, by exclusive creation; false when somebody has it. */
export function claimForAgent(directory: string): boolean {
  try {
    writeFileSync(join(directory, 'claim'), 'agent end\n', { flag: 'wx', mode: 0o600 });
    return true;
  } catch {
    return false;
  }
}

/** After this a supervisor that has not yet written its claim does not start. */
export function revoke(directory: string): void {
  writeFileSync(join(directory, 'revoked'), '', { mode: 0o600 });
}

export function readLaunch(directory: string): LaunchProgress {
  const text = read(directory, 'record') ?? '';
  const process = /^pid (\d+) (\d+)$/m.exec(text);
  const started = /^started (\d+)\.(\d\d)$/m.exec(text);
  const failure = /^failed (.+)$/m.exec(text)?.[1];
  return {
    ...(process === null ? {} : { process: { pid: Number(process[1]), born: Number(process[2]) } }),
    ...(started === null ? {} : { startedAtUptimeMs: centiseconds(started) }),
    ...(failure === undefined ? {} : { failure }),
  };
}

/** A line cut short has no `end`: it is taken for not written. */
const EXIT_LINE = /^exit (\d+) (exited|signalled|unknown) (\d+)\.(\d\d) (\S+) end\n/m;

export function readExit(directory: string): ExitRecord | undefined {
  const match = EXIT_LINE.exec(read(directory, 'record') ?? '');
  if (match === null) return undefined;
  return {
    code: Number(match[1]),
    how: match[2] as ExitRecord['how'],
    endedAtUptimeMs: Number(match[3]) * 1000 + Number(match[4]) * 10,
    bootId: match[5] ?? '',
  };
}

function centiseconds(match: RegExpExecArray): number {
  return Number(match[1]) * 1000 + Number(match[2]) * 10;
}

/** `/proc/<pid>/stat`; undefined when the process is gone. Zombies count as gone: they do nothing any more. */
export function readProcess(pid: number): { born: number; parent: number; session: number } | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // The name stands in parentheses and may hold blanks and parentheses of its own.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
  return { parent: Number(fields[1]), session: Number(fields[3]), born: Number(fields[19]) };
}

export function isAlive(identity: ProcessIdentity): boolean {
  return readProcess(identity.pid)?.born === identity.born;
}
