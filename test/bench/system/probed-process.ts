import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { within } from '../../harness/wait.ts';
import type { ProbeRequest, Sample } from './probe.ts';

const PROBE = import.meta.resolve('./probe.ts');
const ANSWER_MS = 30_000;
const REMEMBERED_LINES = 50;

/** Processes that must not outlive this one, however it ends. */
const living = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of living) child.kill('SIGKILL');
});

export interface ProbedOptions {
  readonly env?: NodeJS.ProcessEnv;
}

/** A Node process that tells what it did between two moments. */
export class ProbedProcess {
  readonly #name: string;
  readonly #child: ChildProcess;
  readonly #lines: string[] = [];
  readonly #watchers = new Set<(line: string) => void>();
  readonly #ended: Promise<string>;

  constructor(name: string, words: readonly string[], { env = process.env }: ProbedOptions = {}) {
    this.#name = name;
    const child = spawn(process.execPath, ['--import', PROBE, ...words], {
      cwd: '/',
      env,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.#child = child;
    living.add(child);
    for (const stream of [child.stdout, child.stderr]) {
      if (stream !== null) createInterface(stream).on('line', (line) => this.#hear(line));
    }
    this.#ended = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        living.delete(child);
        resolve(signal ?? `exit ${code}`);
      });
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Resolves with what the pattern's group matches in the first such line, said from now on or just before. */
  async says(pattern: RegExp, limitMs: number): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const watch = (line: string) => {
      const match = pattern.exec(line);
      if (match !== null) resolve(match[1] ?? '');
    };
    for (const line of this.#lines) watch(line);
    this.#watchers.add(watch);
    void this.#ended.then((how) => reject(new Error(`${this.#name} ended (${how}):\n${this.#lines.join('\n')}`)));
    try {
      return await within(limitMs, `${this.#name} says ${pattern}; it said:\n${this.#lines.join('\n')}`, promise);
    } finally {
      this.#watchers.delete(watch);
    }
  }

  async begin(profile: boolean): Promise<void> {
    await this.#ask({ kind: 'begin', profile });
  }

  async end(profilePath?: string): Promise<Sample> {
    return (await this.#ask({ kind: 'end', ...(profilePath === undefined ? {} : { profilePath }) })) as Sample;
  }

  /** Resident memory now, and the most that it ever was, in bytes. */
  memory(): { readonly rssBytes: number; readonly peakBytes: number } {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8');
    const kib = (field: string) => Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? 0) * 1024;
    return { rssBytes: kib('VmRSS'), peakBytes: kib('VmHWM') };
  }

  async stop(limitMs = 60_000): Promise<void> {
    this.#child.kill('SIGTERM');
    await within(limitMs, `${this.#name} stops`, this.#ended);
  }

  async #ask(request: ProbeRequest): Promise<unknown> {
    const answer = once(this.#child, 'message');
    this.#child.send(request);
    const [reply] = (await within(ANSWER_MS, `${this.#name} answers its probe`, answer)) as [unknown];
    return reply;
  }

  #hear(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length > REMEMBERED_LINES) this.#lines.shift();
    for (const watch of this.#watchers) watch(line);
  }
}
