import { mkdirSync } from 'node:fs';
import type { GalleyClient } from '../client.ts';
import { connectGalley } from '../client.ts';
import { readEndpoint } from '../data-directory.ts';
import { GalleyError } from '../errors.ts';
import { DEFAULT_PORT } from '../options.ts';
import type { Node } from '../types.ts';
import { findRunning } from './daemon-record.ts';
import { type Daemon, delegatedScope, ownProgram, startDaemon, untilReady } from './daemons.ts';

// A control plane and an agent on this machine, as `up` and `demo` start them.

const SERVER_READY_MS = 60_000;
const NODE_READY_MS = 60_000;
/** A control plane on this machine that is up answers at once. */
const PROBE_MS = 2_000;

export interface ClusterOptions {
  readonly dataDirectory: string;
  /** 0: any. Absent: where it listened before it was killed, else the usual one. */
  readonly port?: number;
  readonly nodeName?: string;
  readonly allowMemoryFileSystem?: boolean;
  readonly env: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal;
  readonly say: (text: string) => void;
}

export interface ServerUp {
  /** False when it ran already. */
  readonly started: boolean;
  readonly client: GalleyClient;
  readonly pid: number;
}

export interface AgentUp {
  readonly started: boolean;
  readonly node: Node;
  readonly pid: number;
  /** Whether systemd gave the agent a cgroup subtree of its own. */
  readonly delegated: boolean;
}

/** Starts the control plane unless it runs, and waits until it answers. */
export async function bringUpServer(options: ClusterOptions): Promise<ServerUp> {
  const { dataDirectory, port, env, signal } = options;
  mkdirSync(dataDirectory, { recursive: true, mode: 0o700 });
  let daemon: Daemon | undefined;
  if (findRunning(dataDirectory, 'server') === undefined && (await probe(options)) === undefined) {
    options.say('starting the control plane ...');
    const words = [
      ...ownProgram(),
      'server',
      '--data-dir',
      dataDirectory,
      '--port',
      String(port ?? portBefore(dataDirectory) ?? DEFAULT_PORT),
      ...(options.allowMemoryFileSystem === true ? ['--allow-memory-file-system'] : []),
    ];
    daemon = startDaemon(dataDirectory, 'server', words, withoutGalley(env));
  }
  const client = await untilReady(daemon, 'the control plane', SERVER_READY_MS, () => probe(options, daemon), signal);
  return { started: daemon !== undefined, client, pid: readEndpoint(dataDirectory)?.pid ?? 0 };
}

/** An agent that still runs looks for the control plane where it was. */
function portBefore(dataDirectory: string): number | undefined {
  const port = Number(readEndpoint(dataDirectory)?.address.split(':').pop());
  return Number.isInteger(port) ? port : undefined;
}

/** A client of the control plane of this directory, if it answers. */
async function probe({ dataDirectory, env }: ClusterOptions, daemon?: Daemon): Promise<GalleyClient | undefined> {
  const endpoint = readEndpoint(dataDirectory);
  // What the control plane before this one left behind names another process.
  if (endpoint === undefined || (daemon?.child.pid !== undefined && endpoint.pid !== daemon.child.pid))
    return undefined;
  const client = connectGalley({ dataDirectory, env: withoutGalley(env), retry: { attempts: 1 } });
  try {
    await client.getClusterStatus({ timeoutMs: PROBE_MS });
  } catch (error) {
    client.close();
    if (error instanceof GalleyError && error.code === 'UNAUTHENTICATED') throw error;
    return undefined;
  }
  client.close();
  return connectGalley({ dataDirectory, env: withoutGalley(env) });
}

/** Starts the agent unless it runs, and waits until its node takes jobs. */
export async function bringUpAgent(options: ClusterOptions, client: GalleyClient): Promise<AgentUp> {
  const { dataDirectory, nodeName, env, signal } = options;
  const scope = delegatedScope(env);
  let daemon: Daemon | undefined;
  if (findRunning(dataDirectory, 'agent') === undefined) {
    options.say('starting the agent ...');
    const words = [
      ...scope,
      ...ownProgram(),
      'agent',
      '--data-dir',
      dataDirectory,
      // Where a limit cannot be had, one warning is better than a laptop on which nothing runs.
      '--allow-unlimited',
      ...(nodeName === undefined ? [] : ['--name', nodeName]),
    ];
    daemon = startDaemon(dataDirectory, 'agent', words, withoutGalley(env));
  }
  const ready = async () => {
    const record = findRunning(dataDirectory, 'agent');
    if (record?.nodeName === undefined) return undefined;
    const node = await findNode(client, record.nodeName);
    return node?.connected === true ? { node, pid: record.pid } : undefined;
  };
  const found = await untilReady(daemon, 'the agent', NODE_READY_MS, ready, signal);
  return { ...found, started: daemon !== undefined, delegated: daemon !== undefined && scope.length > 0 };
}

async function findNode(client: GalleyClient, name: string): Promise<Node | undefined> {
  try {
    const node = await client.getNode(name);
    return node.state === 'JOINED' || node.state === 'SILENT' || node.state === 'LOST' ? undefined : node;
  } catch (error) {
    if (error instanceof GalleyError && error.code === 'NOT_FOUND') return undefined;
    throw error;
  }
}

const CONNECTION_VARIABLES = new Set(['GALLEY_ADDRESS', 'GALLEY_TOKEN', 'GALLEY_ACCOUNT', 'GALLEY_DATA_DIR']);

/** What the data directory says must not be overruled by what the caller's shell says. */
function withoutGalley(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !CONNECTION_VARIABLES.has(name)));
}
