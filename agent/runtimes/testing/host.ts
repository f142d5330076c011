import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { OpenedCgroups } from '../../cgroup/open.ts';
import { openCgroups } from '../../cgroup/open.ts';
import { bootId } from '../../launcher/boot.ts';
import { ProcessRuntime } from '../process.ts';
import type { Attached, AttemptLaunch, Outcome, Runtime, RuntimeName, Started } from '../runtime.ts';

export const MEBIBYTE = 1024 * 1024;

export const NO_CGROUPS: OpenedCgroups = {
  limits: {
    cpu: 'unavailable: not asked for',
    memory: 'unavailable: not asked for',
    pids: 'unavailable: not asked for',
    swap: 'unavailable: not asked for',
  },
};

export interface RunningJob {
  readonly key: string;
  readonly directory: string;
  readonly started: Promise<Started>;
  readonly ended: Promise<Outcome>;
  output(file?: string): string;
}

export interface HostOptions {
  readonly cgroups?: OpenedCgroups;
  readonly base?: string;
  readonly allowRoot?: boolean;
}

/** What a host needs of the runtime that it tests. */
export type TestedRuntime = Omit<Runtime, 'description'> & { isLive(key: string): boolean };

/** A runtime under test, as the contract suite and the programs of the tests open it. */
export interface Tested<R extends TestedRuntime> {
  readonly name: RuntimeName;
  /** What every launch has beside the default. */
  readonly launch: Partial<AttemptLaunch>;
  open(base: string): Promise<R>;
}

/** The directory and control group of one simulated host: an agent opened on the same base finds what another left. */
export function makeBase(): string {
  return mkdtempSync(join(realpathSync(tmpdir()), 'galley-host-'));
}

export function groupOf(base: string): string {
  return `galley-test-${base.slice(-6)}`;
}

export const DEFAULT_LAUNCH = {
  environment: {},
  limits: { milliVcpu: 1000, memoryBytes: 64 * MEBIBYTE, swapBytes: 0, pids: 64 },
  separateStreams: false,
  stopGraceSeconds: 1,
} as const;

/** A runtime on real processes (or containers), real files and the control groups of this machine. */
export class TestHost<R extends TestedRuntime = ProcessRuntime> {
  readonly base: string;
  readonly runtime: R;
  readonly #name: RuntimeName;
  readonly #launch: Partial<AttemptLaunch>;
  readonly #endings = new Map<string, PromiseWithResolvers<Outcome>>();
  readonly #keys = new Set<string>();
  #count = 0;

  private constructor(base: string, runtime: R, name: RuntimeName = 'process', launch: Partial<AttemptLaunch> = {}) {
    this.base = base;
    this.runtime = runtime;
    this.#name = name;
    this.#launch = launch;
    runtime.on('ended', (key, outcome) => this.#ending(key).resolve(outcome));
  }

  /** Opens without attaching. */
  static async open(options: HostOptions = {}): Promise<TestHost> {
    const base = options.base ?? makeBase();
    const runtime = await ProcessRuntime.open({
      directory: join(base, 'runtime'),
      cgroups: options.cgroups ?? openCgroups(groupOf(base)),
      allowRoot: options.allowRoot ?? false,
    });
    return new TestHost(base, runtime);
  }

  /** Any runtime, without attaching. */
  static async openTested<R extends TestedRuntime>(tested: Tested<R>, base = makeBase()): Promise<TestHost<R>> {
    return new TestHost(base, await tested.open(base), tested.name, tested.launch);
  }

  /** For a runtime that was opened otherwise. */
  static around(base: string, runtime: ProcessRuntime): TestHost {
    return new TestHost(base, runtime);
  }

  static async ready(options: HostOptions = {}): Promise<TestHost> {
    const host = await TestHost.open(options);
    await host.runtime.attach([]);
    return host;
  }

  /** Attaches everything that stands below the base. */
  async attachAll(boot = bootId()): Promise<Map<string, Attached>> {
    const keys = readdirSync(this.base).filter((name) => name !== 'runtime');
    const attached = await this.runtime.attach(
      keys.map((key) => ({ key, directory: join(this.base, key), bootId: boot, runtime: this.#name })),
    );
    for (const key of keys) this.#keys.add(key);
    return new Map(attached.map((one) => [one.key, one]));
  }

  run(argv: readonly string[], options: Partial<AttemptLaunch> = {}): RunningJob {
    const key = options.key ?? `attempt-${this.#count++}`;
    const directory = join(this.base, key);
    mkdirSync(directory, { mode: 0o700 });
    this.#keys.add(key);
    const started = this.runtime.start({ ...DEFAULT_LAUNCH, ...this.#launch, ...options, key, directory, argv });
    return this.#job(key, directory, started);
  }

  /** Runs to the end and gives the outcome and what was written. */
  async finish(argv: readonly string[], options: Partial<AttemptLaunch> = {}): Promise<Outcome & { output: string }> {
    const job = this.run(argv, options);
    const outcome = await job.ended;
    await job.started;
    return { ...outcome, output: job.output() };
  }

  ended(key: string): Promise<Outcome> {
    return this.#ending(key).promise;
  }

  /** Ends what still runs, gives everything back, and removes the directory. */
  async close(): Promise<void> {
    for (const key of this.#keys) this.runtime.stop(key, { graceSeconds: 0, reason: 'the test is over' });
    for (const key of this.#keys) await this.#releaseWhenEnded(key);
    await this.runtime.close();
    rmSync(this.base, { recursive: true, force: true });
  }

  async #releaseWhenEnded(key: string): Promise<void> {
    if (this.runtime.isLive(key)) await this.ended(key);
    await this.runtime.release(key);
  }

  #job(key: string, directory: string, started: Promise<Started>): RunningJob {
    return {
      key,
      directory,
      started,
      ended: this.ended(key),
      output: (file = 'output') => {
        try {
          return readFileSync(join(directory, file), 'utf8');
        } catch {
          return '';
        }
      },
    };
  }

  #ending(key: string): PromiseWithResolvers<Outcome> {
    const ending = this.#endings.get(key) ?? Promise.withResolvers<Outcome>();
    this.#endings.set(key, ending);
    return ending;
  }
}

/** Waits for a condition that no event announces, a few milliseconds at a time. */
export async function eventually(what: string, condition: () => boolean, limitMs = 10_000): Promise<void> {
  const until = performance.now() + limitMs;
  while (!condition()) {
    if (performance.now() > until) throw new Error(`not within ${limitMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
