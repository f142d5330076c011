import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { within } from './wait.ts';

/** The command line, run from its sources. */
const GALLEY = fileURLToPath(import.meta.resolve('@galley/sdk/cli/main.ts'));
/** What a child said last, for the message of a test that fails. */
const REMEMBERED_LINES = 200;

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A `galley` process that is meant to stay: a control plane or an agent, in the foreground of nobody. */
export class Child {
  readonly process: ChildProcess;
  readonly ended: Promise<Ended>;
  readonly #name: string;
  readonly #lines: string[] = [];
  readonly #watchers = new Set<(line: string) => void>();
  #end: Ended | undefined;

  constructor(name: string, words: readonly string[], env: NodeJS.ProcessEnv) {
    this.#name = name;
    const child = spawn(process.execPath, [GALLEY, ...words], { env, cwd: '/', stdio: ['ignore', 'pipe', 'pipe'] });
    this.process = child;
    living.add(child);
    for (const stream of [child.stdout, child.stderr]) {
      createInterface(stream).on('line', (line) => this.#hear(line));
    }
    this.ended = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        living.delete(child);
        this.#end = { code, signal };
        resolve(this.#end);
      });
    });
  }

  get pid(): number {
    return this.process.pid ?? 0;
  }

  get running(): boolean {
    return this.#end === undefined;
  }

  /** Everything that it said lately. */
  get said(): string {
    return this.#lines.join('\n');
  }

  /** Resolves with the first line that matches, said before or from now on; rejects when it ends without one. */
  async says(pattern: RegExp, limitMs = 30_000): Promise<RegExpExecArray> {
    for (const line of this.#lines) {
      const match = pattern.exec(line);
      if (match !== null) return match;
    }
    const { promise, resolve, reject } = Promise.withResolvers<RegExpExecArray>();
    const watch = (line: string) => {
      const match = pattern.exec(line);
      if (match !== null) resolve(match);
    };
    this.#watchers.add(watch);
    const onEnd = () => reject(new Error(`${this.#name} ended (${this.describeEnd()}) and had said:\n${this.said}`));
    void this.ended.then(onEnd);
    try {
      return await within(limitMs, () => `${this.#name} says ${pattern}; it said:\n${this.said}`, promise);
    } finally {
      this.#watchers.delete(watch);
    }
  }

  /** Sends a signal and waits for the end. */
  async end(signal: NodeJS.Signals, limitMs = 30_000): Promise<Ended> {
    this.process.kill(signal);
    return await within(limitMs, () => `${this.#name} ends after ${signal}; it said:\n${this.said}`, this.ended);
  }

  describeEnd(): string {
    if (this.#end === undefined) return 'it runs';
    return this.#end.signal === null ? `exit ${this.#end.code}` : this.#end.signal;
  }

  #hear(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length > REMEMBERED_LINES) this.#lines.shift();
    for (const watch of this.#watchers) watch(line);
  }
}

export interface Finished extends Ended {
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs one command of `galley` to its end. */
export async function runGalley(
  words: readonly string[],
  options: {
    readonly env: NodeJS.ProcessEnv;
    readonly limitMs?: number;
    readonly onSpawn?: (child: ChildProcess) => void;
  },
): Promise<Finished> {
  const child = spawn(process.execPath, [GALLEY, ...words], {
    env: options.env,
    cwd: '/',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  living.add(child);
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (piece: Buffer) => stdout.push(piece));
  child.stderr.on('data', (piece: Buffer) => stderr.push(piece));
  const closed = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
  options.onSpawn?.(child);
  try {
    const ended = await within(options.limitMs ?? 30_000, `galley ${words.join(' ')}`, closed);
    return { ...ended, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() };
  } finally {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    living.delete(child);
  }
}

/** What still runs when a worker of the test runner ends in the middle of a test must not outlive it. */
const living = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of living) child.kill('SIGKILL');
});
