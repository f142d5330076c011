import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, closeSync, mkdirSync, openSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type DaemonKind, type DaemonRecord, isAlive } from './daemon-record.ts';
import { CliError } from './exit.ts';

// Starting and stopping servers and agents that outlive the command.

const POLL_MS = 50;
const LOG_TAIL_LINES = 15;

/** The words before `server ...` or `agent ...` that run this very program again. */
export function ownProgram(): readonly string[] {
  return [process.execPath, ...process.execArgv, process.argv[1] ?? ''];
}

export function logPath(dataDirectory: string, kind: DaemonKind): string {
  return join(dataDirectory, 'log', `${kind}.log`);
}

export interface Daemon {
  readonly child: ChildProcess;
  readonly kind: DaemonKind;
  readonly logFile: string;
  /** Where in the log this one began. */
  readonly logStart: number;
}

/** Starts this program in a session of its own, with its output in the data directory's log. */
export function startDaemon(
  dataDirectory: string,
  kind: DaemonKind,
  words: readonly string[],
  env: NodeJS.ProcessEnv,
): Daemon {
  mkdirSync(join(dataDirectory, 'log'), { recursive: true, mode: 0o700 });
  const logFile = logPath(dataDirectory, kind);
  const log = openSync(logFile, 'a', 0o600);
  const nothing = openSync('/dev/null', 'r+');
  try {
    const logStart = statSync(logFile).size;
    const [program = '', ...rest] = words;
    const stdio: ('ignore' | number)[] = ['ignore', log, log];
    for (const descriptor of inheritedDescriptors()) {
      while (stdio.length < descriptor) stdio.push('ignore');
      stdio[descriptor] = nothing;
    }
    const child = spawn(program, rest, { detached: true, cwd: '/', env, stdio });
    // A program that cannot be executed shows as an exit, which whoever waits for the daemon sees.
    child.on('error', () => undefined);
    child.unref();
    return { child, kind, logFile, logStart };
  } finally {
    closeSync(log);
    closeSync(nothing);
  }
}

const CLOSE_ON_EXEC = 0o2000000;
/** Higher ones are nobody's habit, and each number below costs an entry. */
const MAX_DESCRIPTOR = 1023;

/**
 * What whoever ran this command had open and handed on: a lock of flock(1), a pipe that somebody reads to its end. A daemon
 * would hold it for as long as it lives. Node marks its own descriptors so that they end here.
 */
function inheritedDescriptors(): number[] {
  try {
    return readdirSync('/proc/self/fdinfo')
      .map(Number)
      .filter((descriptor) => descriptor > 2 && descriptor <= MAX_DESCRIPTOR && !closesOnExec(descriptor))
      .sort((a, b) => a - b);
  } catch {
    return [];
  }
}

function closesOnExec(descriptor: number): boolean {
  try {
    const flags = /^flags:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8'))?.[1];
    return (Number.parseInt(flags ?? '', 8) & CLOSE_ON_EXEC) !== 0;
  } catch {
    // The one that listed them.
    return true;
  }
}

/** Polls until `ready` answers something; fails when the daemon ends first or the time is over. */
export async function untilReady<T>(
  daemon: Daemon | undefined,
  what: string,
  timeoutMs: number,
  ready: () => Promise<T | undefined>,
  signal?: AbortSignal,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    signal?.throwIfAborted();
    const answer = await ready();
    if (answer !== undefined) return answer;
    if (daemon !== undefined && hasEnded(daemon.child)) {
      throw new CliError(`${what} ended while it started; its log ${daemon.logFile} says:\n${newLog(daemon)}`);
    }
    if (performance.now() > deadline) {
      const log = daemon === undefined ? '' : `; its log ${daemon.logFile} says:\n${newLog(daemon)}`;
      throw new CliError(`${what} was not ready after ${Math.round(timeoutMs / 1000)} s${log}`);
    }
    await delay(POLL_MS);
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
}

function newLog({ logFile, logStart }: Daemon): string {
  const text = readFileSync(logFile).subarray(logStart).toString().trimEnd();
  return text.split('\n').slice(-LOG_TAIL_LINES).join('\n');
}

/** Asks a process to end gracefully; false when it still runs after the time. */
export async function stopProcess(record: DaemonRecord, timeoutMs: number): Promise<boolean> {
  try {
    process.kill(record.pid, 'SIGTERM');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return true;
    throw new CliError(`process ${record.pid} cannot be stopped: ${(error as Error).message}`);
  }
  const deadline = performance.now() + timeoutMs;
  while (isAlive(record)) {
    if (performance.now() > deadline) return false;
    await delay(POLL_MS);
  }
  return true;
}

/**
 * The words that put a command into a cgroup subtree of its own, which systemd delegates to the user; none where that
 * cannot be had or is not needed (root).
 */
export function delegatedScope(env: NodeJS.ProcessEnv, uid = process.getuid?.()): readonly string[] {
  const runtime = env['XDG_RUNTIME_DIR'];
  if (uid === 0 || runtime === undefined || runtime === '') return [];
  const program = findProgram('systemd-run', env);
  if (program === undefined || !exists('/sys/fs/cgroup/cgroup.controllers')) return [];
  if (!exists(join(runtime, 'systemd', 'private'))) return [];
  return [program, '--user', '--scope', '--quiet', '-p', 'Delegate=yes', '--'];
}

function findProgram(name: string, env: NodeJS.ProcessEnv): string | undefined {
  return (env['PATH'] ?? '')
    .split(':')
    .map((directory) => join(directory, name))
    .find((path) => path.startsWith('/') && exists(path));
}

function exists(path: string): boolean {
  try {
    accessSync(path);
    return true;
  } catch {
    return false;
  }
}
