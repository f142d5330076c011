import type { Command } from 'commander';
import type { GalleyClient } from '../client.ts';
import type { GalleyOptions } from '../options.ts';
import { type Colours, createColours } from './colours.ts';
import { isAlive } from './daemon-record.ts';
import type { GlobalOptions } from './global-options.ts';
import type { Output } from './output.ts';

/** What the command line runs in: the process, or a test. */
export interface HostOptions {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: NodeJS.ProcessEnv;
  /** Emits SIGINT, SIGTERM, SIGHUP. */
  readonly signals: SignalSource;
}

export interface SignalSource {
  on(signal: NodeJS.Signals, listener: () => void): unknown;
  off(signal: NodeJS.Signals, listener: () => void): unknown;
}

/** What one command works with. */
export interface Session extends HostOptions {
  readonly options: GlobalOptions;
  readonly json: boolean;
  /** Where the control plane may be found, for the SDK. */
  readonly connection: GalleyOptions;
  readonly colours: Colours;
  /** Connects on first use; closed when the command ends. */
  client(): Promise<GalleyClient>;
}

/** Runs commands and remembers how the last one ended. */
export interface Host extends HostOptions {
  exitCode: number;
  /** Of the last command: whether it was to answer JSON, and where it connected to. */
  json: boolean;
  address: string | undefined;
  /** Runs the body of a command; what it returns is the exit code, 0 when nothing. */
  run(command: Command, body: (session: Session) => Promise<number | undefined>): Promise<void>;
}

export function createHost(options: HostOptions): Host {
  const host: Host = {
    ...options,
    exitCode: 0,
    json: false,
    address: undefined,
    async run(command, body) {
      const session = createSession(host, command.optsWithGlobals<GlobalOptions>());
      host.json = session.json;
      try {
        host.exitCode = (await body(session)) ?? 0;
      } finally {
        session.close();
      }
    },
  };
  return host;
}

function createSession(host: Host, options: GlobalOptions): Session & { close(): void } {
  const connection = toConnection(host.env, options);
  let client: Promise<GalleyClient> | undefined;
  let opened: GalleyClient | undefined;
  const connect = async () => {
    const [{ connectGalley }, { compileOptions }] = await Promise.all([
      import('../client.ts'),
      import('../options.ts'),
    ]);
    const { pid } = compileOptions(connection);
    // A control plane that is known to be gone will not answer the next try either.
    const gone = pid !== undefined && !isAlive({ pid, startTime: '' });
    opened = connectGalley({ ...connection, ...(gone ? { retry: { attempts: 1 } } : {}) });
    host.address = opened.address;
    return opened;
  };
  const { stdout, stderr, env, signals } = host;
  return {
    stdout,
    stderr,
    env,
    signals,
    options,
    json: options.json === true,
    connection,
    colours: createColours(options.color ?? (stdout.isTTY === true && !env['NO_COLOR'])),
    client: () => (client ??= connect()),
    close: () => opened?.close(),
  };
}

function toConnection(env: NodeJS.ProcessEnv, options: GlobalOptions): GalleyOptions {
  const { address, token, dataDir, config, account } = options;
  return {
    env,
    ...(address === undefined ? {} : { address }),
    ...(token === undefined ? {} : { token }),
    ...(dataDir === undefined ? {} : { dataDirectory: dataDir }),
    ...(config === undefined ? {} : { configFile: config }),
    ...(account === undefined ? {} : { account }),
  };
}
