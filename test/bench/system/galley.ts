import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connectGalley, type GalleyClient } from '@galley/sdk';
import { clearLeftovers } from '../../harness/leftovers.ts';
import { eventually } from '../../harness/wait.ts';
import type { BenchContext } from '../types.ts';
import type { Sample } from './probe.ts';
import { ProbedProcess } from './probed-process.ts';

/** What users run: the bundle. */
const BUNDLE = fileURLToPath(new URL('../../../sdk/dist/galley.mjs', import.meta.url));
export const COMMAND = fileURLToPath(new URL('../../../sdk/bin/galley', import.meta.url));

const SERVER_READY_MS = 120_000;
const NODE_READY_MS = 30_000;

/** A control plane, and an agent if one is asked for, with what is shipped as their defaults. */
export class Galley {
  readonly dataDirectory: string;
  readonly #context: BenchContext;
  readonly #clients: GalleyClient[] = [];
  #server: ProbedProcess | undefined;
  #agent: ProbedProcess | undefined;

  constructor(context: BenchContext) {
    if (!existsSync(BUNDLE)) throw new Error(`${BUNDLE} is missing: run \`npm run build\` first`);
    this.#context = context;
    this.dataDirectory = join(context.directory, 'data');
  }

  get server(): ProbedProcess {
    if (this.#server === undefined) throw new Error('no control plane runs');
    return this.#server;
  }

  /** Resolves when the control plane has answered a call. Returns how long that took from its start, in ms. */
  async startServer(): Promise<number> {
    const from = performance.now();
    const words = [BUNDLE, 'server', '--data-dir', this.dataDirectory, '--port', '0', '--log-level', 'warn'];
    this.#server = new ProbedProcess('the control plane', words, { env: this.environment });
    await this.#server.says(/control plane listens on/, SERVER_READY_MS);
    await this.client().getClusterStatus();
    return performance.now() - from;
  }

  async stopServer(): Promise<void> {
    for (const client of this.#clients.splice(0)) client.close();
    await this.server.stop();
    this.#server = undefined;
  }

  /** Resolves when its node takes jobs. */
  async startAgent(): Promise<void> {
    const words = [BUNDLE, 'agent', '--data-dir', this.dataDirectory, '--name', 'bench', '--allow-unlimited'];
    this.#agent = new ProbedProcess('the agent', words, { env: { ...this.environment, GALLEY_LOG_LEVEL: 'warn' } });
    await this.#agent.says(/node bench serves/, NODE_READY_MS);
    const client = this.client();
    const ready = async () => {
      const node = await client.getNode('bench').catch(() => undefined);
      return node?.connected === true && node.state === 'READY' ? node : undefined;
    };
    await eventually('the node is ready', ready, NODE_READY_MS);
  }

  /** For the command line. */
  get environment(): NodeJS.ProcessEnv {
    const home = join(this.#context.directory, 'home');
    mkdirSync(home, { recursive: true });
    return { PATH: process.env['PATH'], HOME: home, GALLEY_DATA_DIR: this.dataDirectory };
  }

  /** With a connection of its own, closed with the control plane. */
  client(): GalleyClient {
    const client = connectGalley({ dataDirectory: this.dataDirectory, env: {} });
    this.#clients.push(client);
    return client;
  }

  get token(): string {
    return readFileSync(join(this.dataDirectory, 'token'), 'utf8').trim();
  }

  /** From here on everything counts. */
  async begin(): Promise<void> {
    const profile = this.#context.profiles !== undefined;
    await Promise.all([this.#server?.begin(profile), this.#agent?.begin(profile)]);
  }

  /** What the processes did since `begin`, by role; `label` tells apart what one benchmark measures more than once. */
  async end(label = ''): Promise<Record<string, Sample>> {
    const samples: Record<string, Sample> = {};
    for (const [role, process] of Object.entries({ server: this.#server, agent: this.#agent })) {
      if (process === undefined) continue;
      const name = `${role}${label}`;
      const { profiles } = this.#context;
      samples[name] = await process.end(profiles && join(profiles, `${name}.cpuprofile`));
    }
    return samples;
  }

  async close(): Promise<void> {
    for (const client of this.#clients.splice(0)) client.close();
    try {
      await this.#agent?.stop();
      await this.#server?.stop();
    } finally {
      await clearLeftovers(this.#context.directory);
    }
  }
}

/** Runs `use` with a control plane, and an agent if asked for, and takes both down again. */
export async function withGalley<T>(
  context: BenchContext,
  { agent }: { readonly agent: boolean },
  use: (galley: Galley) => Promise<T>,
): Promise<T> {
  const galley = new Galley(context);
  try {
    await galley.startServer();
    if (agent) await galley.startAgent();
    return await use(galley);
  } finally {
    await galley.close();
  }
}
