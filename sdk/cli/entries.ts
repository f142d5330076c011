import { CliError } from './exit.ts';

// What the command line starts and does not contain: loaded when asked for, so that `galley jobs` never pays for it.

export interface ServerOptions {
  readonly dataDir: string;
  /** Default: 127.0.0.1. */
  readonly host?: string;
  /** Default: 8642. 0: any. */
  readonly port?: number;
  readonly allowMemoryFileSystem?: boolean;
  readonly insecureListen?: boolean;
  readonly logLevel?: string;
  readonly signal?: AbortSignal;
}

export interface RunningServer {
  readonly address: string;
  close(): Promise<void>;
  /** Resolves when it has ended; rejects when it failed. */
  readonly closed: Promise<void>;
}

export interface AgentOptions {
  /** The agent's own state. */
  readonly dataDir: string;
  readonly address: string;
  readonly token: string;
  readonly nodeName?: string;
  readonly computeEnvironment?: string;
  readonly allowUnlimited?: boolean;
  readonly account?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** Countable things that the node offers, whole units by name. */
  readonly namedResources?: Readonly<Record<string, number>>;
  /** What the host keeps for itself. Default: 5 %, and at least 1 GiB of memory. */
  readonly reserve?: { readonly percent?: number; readonly memoryBytes?: number; readonly milliVcpu?: number };
  readonly signal?: AbortSignal;
}

export interface RunningAgent {
  readonly nodeName: string;
  close(): Promise<void>;
  readonly closed: Promise<void>;
}

interface ServerModule {
  readonly runServer: (options: ServerOptions) => Promise<RunningServer>;
}

interface AgentModule {
  readonly runAgent: (options: AgentOptions) => Promise<RunningAgent>;
}

interface BackupModule {
  readonly restoreBackup: (file: string, dataDir: string) => Promise<unknown>;
}

const SERVER_MODULE: string = '@galley/control-plane/main.ts';
const AGENT_MODULE: string = '@galley/agent/main.ts';
const BACKUP_MODULE: string = '@galley/control-plane/store/backup.ts';

export const loadServer = () => load('the control plane', import(SERVER_MODULE) as Promise<ServerModule>);
export const loadAgent = () => load('the agent', import(AGENT_MODULE) as Promise<AgentModule>);
export const loadBackup = () => load('restore', import(BACKUP_MODULE) as Promise<BackupModule>);

async function load<T>(what: string, module: Promise<T>): Promise<T> {
  try {
    return await module;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new CliError(`${what} is not part of this installation: ${(error as Error).message}`);
  }
}
