import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  connectGalley,
  type GalleyClient,
  type JobRequest,
  type LogChunk,
  type LogStreamName,
  type RetryPolicy,
} from '@galley/sdk';
import type { Job, Node } from '@galley/sdk/types.ts';
import { Child, type Finished, runGalley } from './child.ts';
import { clearLeftovers } from './leftovers.ts';
import { makePlace, type Place } from './place.ts';
import { freePort } from './port.ts';
import { eventually } from './wait.ts';

/** What a control plane says when it answers. */
export const READY = /control plane listens on /;
const SERVES = /node \S+ serves/;

export interface ClusterOptions {
  /** Where the state lies. Default: below the test's own directory. */
  readonly data?: string;
  /** Further words for `galley server`. */
  readonly serverWords?: readonly string[];
}

/** A control plane and agents as processes of their own, with state in a directory of their own. */
export class TestCluster {
  readonly place: Place;
  readonly data: string;
  readonly port: number;
  readonly #serverWords: readonly string[];
  readonly #agents = new Map<string, Child>();
  readonly #clients: GalleyClient[] = [];
  #server: Child | undefined;

  private constructor(place: Place, port: number, options: ClusterOptions) {
    this.place = place;
    this.port = port;
    this.data = options.data ?? place.data;
    this.#serverWords = options.serverWords ?? [];
  }

  /** Nothing runs yet. */
  static async make(options: ClusterOptions = {}): Promise<TestCluster> {
    return new TestCluster(makePlace(), await freePort(), options);
  }

  /** A control plane and one agent named `node-1`, which is ready. */
  static async start(options: ClusterOptions = {}): Promise<TestCluster> {
    const cluster = await TestCluster.make(options);
    try {
      await cluster.startServer();
      await cluster.startAgent('node-1');
    } catch (error) {
      await cluster.close();
      throw error;
    }
    return cluster;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  get server(): Child {
    if (this.#server === undefined) throw new Error('no control plane was started');
    return this.#server;
  }

  agent(name = 'node-1'): Child {
    const agent = this.#agents.get(name);
    if (agent === undefined) throw new Error(`no agent ${name} was started`);
    return agent;
  }

  agentDirectory(name = 'node-1'): string {
    return join(this.place.base, 'agents', name);
  }

  /** Starts the control plane without waiting for it. */
  spawnServer(): Child {
    const words = ['server', '--data-dir', this.data, '--port', `${this.port}`, ...this.#serverWords];
    this.#server = new Child('the control plane', words, this.place.environment);
    return this.#server;
  }

  async startServer(): Promise<Child> {
    const server = this.spawnServer();
    await server.says(READY);
    return server;
  }

  /** Starts an agent, and waits until its node takes jobs. */
  async startAgent(name = 'node-1', words: readonly string[] = []): Promise<Child> {
    const agent = this.spawnAgent(name, words);
    await agent.says(SERVES);
    await this.nodeIs(name, ({ connected, state }) => connected && state === 'READY');
    return agent;
  }

  spawnAgent(name = 'node-1', words: readonly string[] = []): Child {
    const agent = new Child(
      `agent ${name}`,
      [
        'agent',
        '--name',
        name,
        '--data-dir',
        join(this.place.base, `of-${name}`),
        '--state-dir',
        this.agentDirectory(name),
        '--address',
        this.address,
        ...words,
      ],
      { ...this.place.environment, GALLEY_TOKEN: this.token },
    );
    this.#agents.set(name, agent);
    return agent;
  }

  /** Waits until a node is as it should be. */
  nodeIs(name: string, condition: (node: Node) => boolean, limitMs = 30_000): Promise<Node> {
    const client = this.client();
    return eventually(
      () => `node ${name} is as expected; its agent said:\n${this.#agents.get(name)?.said ?? 'nothing'}`,
      async () => {
        try {
          const node = await client.getNode(name);
          return condition(node) ? node : undefined;
        } catch {
          return undefined;
        }
      },
      limitMs,
    );
  }

  get token(): string {
    return readFileSync(join(this.data, 'token'), 'utf8').trim();
  }

  /** A client with a connection of its own, closed with the cluster. */
  client(retry: Partial<RetryPolicy> = {}): GalleyClient {
    const client = connectGalley({ address: this.address, token: this.token, env: {}, retry });
    this.#clients.push(client);
    return client;
  }

  /** Runs one command line against this cluster's data directory. */
  galley(words: readonly string[], limitMs?: number): Promise<Finished> {
    return runGalley(words, {
      env: { ...this.place.environment, GALLEY_DATA_DIR: this.data },
      ...(limitMs === undefined ? {} : { limitMs }),
    });
  }

  /** Submits a job and waits for its end. */
  async finish(request: JobRequest, limitMs = 30_000): Promise<Job> {
    const client = this.client();
    const { jobId } = await client.submitJob(request);
    return await client.waitForJob(jobId, { timeoutMs: limitMs });
  }

  /** Ends everything that was started, jobs included, and removes what they left. */
  async close(): Promise<void> {
    for (const client of this.#clients.splice(0)) client.close();
    try {
      for (const child of [...this.#agents.values(), this.#server]) {
        if (child?.running === true) await child.end('SIGKILL');
      }
    } finally {
      await clearLeftovers(this.place.base);
      this.place.remove();
    }
  }
}

/** Waits for the end of a job's log (of its latest attempt); as text, in which a gap is shown as `[gap: reason]`. */
export async function wholeLogOf(
  client: GalleyClient,
  jobId: string,
  stream: LogStreamName = 'OUTPUT',
  limitMs = 30_000,
): Promise<string> {
  return await toText(client.followLog(jobId, { stream, signal: AbortSignal.timeout(limitMs) }));
}

/** What has arrived so far. */
export async function logSoFar(client: GalleyClient, jobId: string): Promise<string> {
  return await toText(client.readWholeLog(jobId));
}

async function toText(chunks: AsyncIterable<LogChunk>): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const { data, gapLength, gapReason } of chunks) {
    pieces.push(gapLength > 0 ? Buffer.from(`[gap: ${gapReason}]`) : Buffer.from(data));
  }
  return Buffer.concat(pieces).toString();
}
