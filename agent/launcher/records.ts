import { readFileSync, truncate, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * The files of an attempt that agent and supervisor share, few because creating and removing files is the dearest part
 * of a start: ext4 passes over every inode that was freed in the last minutes (0.03 ms in a quiet directory, 0.5 ms in
 * one where a file is removed for each job). `launch` is the agent's: a line with what it must find again, then the
 * job's script. `record` is whose the attempt is, and then everything that launch and supervisor say.
 */

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

/** A comment to the shell that reads on. */
function head(launch: unknown): string {
  return `# ${JSON.stringify(launch)}\n`;
}

/** Writes `launch` for an attempt that the launcher has not heard of yet; `script` is for a shell. */
export function prepareLaunch(directory: string, launch: object, script: string): void {
  writeFileSync(join(directory, 'launch'), `${head(launch)}${script}`, { mode: 0o600 });
}

/** What the agent wrote there; undefined when it died before it had, and then nothing was launched. */
export function readPrepared(directory: string): unknown {
  const text = read(directory, 'launch') ?? '';
  const end = text.indexOf('\n');
  if (end < 0 || !text.startsWith('# ')) return undefined;
  try {
    return JSON.parse(text.slice(2, end));
  } catch {
    return undefined;
  }
}

/** The job's environment may hold secrets: they are on the disk until its shell has read them, and no longer. */
export function forgetScript(directory: string, launch: object): void {
  truncate(join(directory, 'launch'), Buffer.byteLength(head(launch)), () => {});
}

function read(directory: string, name: string): string | undefined {
  try {
    return readFileSync(join(directory, name), 'utf8');
  } catch {
    return undefined;
  }
}

/** The whole of `record` at one moment; undefined while nobody has the attempt. */
export function readRecord(directory: string): string | undefined {
  return read(directory, 'record');
}

export function readClaim(directory: string): Claim {
  return claimIn(readRecord(directory));
}

export function claimIn(text: string | undefined): Claim {
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
    writeFileSync(join(directory, 'record'), 'agent end\n', { flag: 'wx', mode: 0o600 });
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
  return launchIn(readRecord(directory) ?? '');
}

export function launchIn(text: string): LaunchProgress {
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
  return exitIn(readRecord(directory) ?? '');
}

export function exitIn(text: string): ExitRecord | undefined {
  const match = EXIT_LINE.exec(text);
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
