import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, closeSync, constants, openSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bootId } from './boot.ts';
import { LAUNCHER_SCRIPT } from './script.ts';

/** A launcher that ends by itself is started again after this long, so that a fault that stays cannot spin. */
const RESTART_DELAY_MS = 200;

export interface LauncherTools {
  readonly shell: string;
  readonly setsid: string;
  readonly setpriv: string;
  readonly env: string;
}

/** What one line to the launcher says. */
export interface LaunchLine {
  readonly directory: string;
  readonly key: string;
  readonly identity?: { readonly uid: number; readonly gid: number; readonly groups: readonly number[] };
  readonly separateStreams: boolean;
  readonly enterFiles: readonly string[];
}

export class LauncherError extends Error {
  readonly code = 'tool_missing';

  constructor(message: string) {
    super(message);
    this.name = 'LauncherError';
  }
}

const TOOL_DIRECTORIES = ['/usr/bin', '/bin', '/usr/sbin', '/sbin', '/usr/local/bin'];

function findTool(...names: string[]): string {
  for (const name of names) {
    for (const directory of TOOL_DIRECTORIES) {
      const path = join(directory, name);
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {
        // Looked for in the next directory.
      }
    }
  }
  throw new LauncherError(`this node has no ${names.join(' or ')} in ${TOOL_DIRECTORIES.join(', ')}`);
}

/** dash first: its fork is the cheapest, and its job table is what the script was written against. */
export function findTools(): LauncherTools {
  return {
    shell: findTool('dash', 'sh'),
    setsid: findTool('setsid'),
    setpriv: findTool('setpriv'),
    env: findTool('env'),
  };
}

/**
 * Keeps one launcher running, in a session of its own, without a terminal and with an empty environment. Its
 * standard input is a pipe from the agent: when the agent is gone it ends after the lines that it has, and the
 * supervisors stay.
 */
export class Launcher {
  readonly #options: { directory: string; fifo: string; oomScoreAdjust: number; tools: LauncherTools };
  readonly #onLost: () => void;
  #child: ChildProcess | undefined;
  #restart: NodeJS.Timeout | undefined;
  #waiting: string[] = [];
  #closed = false;

  /**
   * @param options `directory` holds the script and the launcher's log; `oomScoreAdjust` is what jobs get.
   * @param onLost called after the launcher ended unasked: lines that it had not read are gone.
   */
  constructor(
    options: { directory: string; fifo: string; oomScoreAdjust: number; tools: LauncherTools },
    onLost: () => void,
  ) {
    this.#options = options;
    this.#onLost = onLost;
    this.#start();
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  launch(line: LaunchLine): void {
    const { identity } = line;
    const fields = [
      'run',
      line.directory,
      line.key,
      identity === undefined ? '-' : `${identity.uid}`,
      identity === undefined ? '-' : `${identity.gid}`,
      identity === undefined ? '-' : identity.groups.join(','),
      line.separateStreams ? 'separate' : 'together',
      ...(line.enterFiles.length === 0 ? ['-'] : line.enterFiles),
    ];
    for (const field of fields) {
      if (/[\t\n]/.test(field)) throw new Error(`a tab or a newline in ${JSON.stringify(field)} cannot be sent`);
    }
    this.#write(`${fields.join('\t')}\n`);
  }

  /** Lets the launcher collect supervisors that have ended. */
  reap(): void {
    if (this.#child !== undefined) this.#write('\n');
  }

  /** Ends the launcher; supervisors and jobs stay. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#restart);
    const child = this.#child;
    if (child === undefined) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.stdin?.end();
    await ended;
  }

  #write(text: string): void {
    if (this.#child?.stdin?.writable === true) this.#child.stdin.write(text);
    else if (!this.#closed) this.#waiting.push(text);
  }

  #start(): void {
    const { directory, fifo, oomScoreAdjust, tools } = this.#options;
    const script = join(directory, 'launcher.sh');
    writeFileSync(script, LAUNCHER_SCRIPT, { mode: 0o600 });
    // A new file each time: supervisors of launchers before keep the old one open.
    rmSync(join(directory, 'launcher.log'), { force: true });
    const log = openSync(join(directory, 'launcher.log'), 'a', 0o600);
    const child = spawn(
      tools.shell,
      [script, fifo, bootId(), `${oomScoreAdjust}`, tools.setsid, tools.setpriv, tools.shell],
      { cwd: '/', env: { LC_ALL: 'C' }, detached: true, stdio: ['pipe', 'ignore', log] },
    );
    closeSync(log);
    this.#child = child;
    // EPIPE while the launcher dies: the exit event says it.
    child.stdin?.on('error', () => {});
    child.on('error', () => this.#lost(child));
    child.on('exit', () => this.#lost(child));
    for (const text of this.#waiting.splice(0)) child.stdin?.write(text);
  }

  #lost(child: ChildProcess): void {
    if (this.#child !== child) return;
    this.#child = undefined;
    if (this.#closed) return;
    this.#onLost();
    this.#restart = setTimeout(() => this.#start(), RESTART_DELAY_MS);
  }
}
