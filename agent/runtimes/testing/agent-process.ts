import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('agent-program.ts', import.meta.url));

/** Runs `agent-program.ts` as a process that can be killed. */
export class AgentProcess {
  readonly lines: string[] = [];
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  #wake: (() => void) | undefined;

  constructor(
    base: string,
    count: number,
    argv: readonly string[],
    environment: Record<string, string> = {},
    account: { uid?: number; gid?: number } = {},
  ) {
    this.#child = spawn(process.execPath, [PROGRAM, base, `${count}`, ...argv], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ...environment },
      ...account,
    });
    this.#exited = new Promise((resolve) => this.#child.once('close', () => resolve()));
    if (this.#child.stdout === null) throw new Error('no output to read');
    createInterface(this.#child.stdout).on('line', (line) => {
      this.lines.push(line);
      this.#wake?.();
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  matching(start: string): string[] {
    return this.lines.filter((line) => line.startsWith(start));
  }

  /** Waits until so many lines start like this. */
  async seen(start: string, count = 1): Promise<string[]> {
    while (this.matching(start).length < count) {
      if (this.#child.exitCode !== null) throw new Error(`the agent ended: ${this.lines.join(' | ')}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.matching(start);
  }

  /** SIGKILL, and waits until it is gone. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited;
  }
}
