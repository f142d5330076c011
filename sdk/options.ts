import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { defaultDataDirectory, ENDPOINT_FILE, readEndpoint, readToken, TOKEN_FILE } from './data-directory.ts';
import { GalleyError } from './errors.ts';
import { DEFAULT_RETRY, type RetryPolicy } from './retry.ts';

/** How to find the control plane. Everything is optional: what is missing is looked up as `compileOptions` says. */
export interface GalleyOptions {
  /** `host:port`. */
  readonly address?: string;
  readonly token?: string;
  /** A control plane's data directory on this machine: address and token are read from it. */
  readonly dataDirectory?: string;
  /** A JSON file with `address`, `token`, `account`, `dataDirectory`. Default: `~/.config/galley/config.json`. */
  readonly configFile?: string;
  /** Default: `default`. */
  readonly account?: string;
  /** Milliseconds that one call may take. Default: 30,000. */
  readonly timeoutMs?: number;
  readonly retry?: Partial<RetryPolicy>;
  /** Milliseconds that a stream (logs, watch) tries to reconnect before it gives up. Default: 600,000. */
  readonly reconnectTimeoutMs?: number;
  /** Default: `process.env`. */
  readonly env?: NodeJS.ProcessEnv;
}

/** What travels inside the SDK. */
export interface CompiledOptions {
  readonly address: string;
  readonly token: string | undefined;
  readonly account: string;
  readonly timeoutMs: number;
  readonly retry: RetryPolicy;
  readonly reconnectTimeoutMs: number;
  /** The data directory that the address was read from, if it was. */
  readonly dataDirectory: string | undefined;
  /** The control plane's process, as the data directory names it. */
  readonly pid: number | undefined;
}

export const DEFAULT_TIMEOUT_MS = 30_000;
export const DEFAULT_RECONNECT_TIMEOUT_MS = 600_000;
export const DEFAULT_PORT = 8642;

interface Layer {
  readonly address?: string | undefined;
  readonly token?: string | undefined;
  readonly account?: string | undefined;
  readonly dataDirectory?: string | undefined;
}

/**
 * Options, then the environment (GALLEY_ADDRESS, GALLEY_TOKEN, GALLEY_ACCOUNT, GALLEY_DATA_DIR), then the configuration
 * file, then the default data directory. The first of them that names an address or a data directory decides where to
 * connect. A token that lies in a data directory is only ever sent to that directory's address, or to this machine.
 *
 * Throws NOT_CONFIGURED when no control plane is known, INVALID_ARGUMENT for values that cannot be used.
 */
export function compileOptions(options: GalleyOptions = {}): CompiledOptions {
  const layers = readLayers(options);
  const place = findPlace(layers, options.env ?? process.env);
  return {
    ...place,
    token: layers.find((layer) => layer.token !== undefined)?.token ?? localToken(place, layers, options),
    account: layers.find((layer) => layer.account !== undefined)?.account ?? '',
    timeoutMs: positive('timeoutMs', options.timeoutMs ?? DEFAULT_TIMEOUT_MS),
    reconnectTimeoutMs: positive('reconnectTimeoutMs', options.reconnectTimeoutMs ?? DEFAULT_RECONNECT_TIMEOUT_MS),
    retry: { ...DEFAULT_RETRY, ...options.retry },
  };
}

/** The data directory that options, environment and configuration file name, else the default one. */
export function resolveDataDirectory(options: GalleyOptions = {}): string {
  const named = readLayers(options).find((layer) => layer.dataDirectory !== undefined)?.dataDirectory;
  return resolve(named ?? defaultDataDirectory(options.env ?? process.env));
}

function readLayers(options: GalleyOptions): readonly Layer[] {
  const env = options.env ?? process.env;
  const fromEnvironment: Layer = {
    address: nonEmpty(env['GALLEY_ADDRESS']),
    token: nonEmpty(env['GALLEY_TOKEN']),
    account: nonEmpty(env['GALLEY_ACCOUNT']),
    dataDirectory: nonEmpty(env['GALLEY_DATA_DIR']),
  };
  return [options, fromEnvironment, readConfigFile(options.configFile, env)];
}

type Place = Pick<CompiledOptions, 'address' | 'dataDirectory' | 'pid'>;

function findPlace(layers: readonly Layer[], env: NodeJS.ProcessEnv): Place {
  for (const { address, dataDirectory } of layers) {
    if (address !== undefined) return { address: parseAddress(address), dataDirectory: undefined, pid: undefined };
    if (dataDirectory !== undefined) return placeIn(resolve(dataDirectory));
  }
  return placeIn(defaultDataDirectory(env));
}

function placeIn(directory: string): Place {
  const endpoint = readEndpoint(directory);
  if (endpoint === undefined) {
    const message = `${whyNoEndpoint(directory)}, and no address was given`;
    throw new GalleyError('NOT_CONFIGURED', message, { metadata: { dataDirectory: directory } });
  }
  return { address: parseAddress(endpoint.address), dataDirectory: directory, pid: endpoint.pid };
}

/** Never started, stopped, and somebody else's are three different things to do next. */
function whyNoEndpoint(directory: string): string {
  try {
    accessSync(join(directory, ENDPOINT_FILE), constants.R_OK);
    return `no control plane runs in ${directory} (its ${ENDPOINT_FILE} names no address)`;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EACCES') {
      return `no control plane in ${directory} is yours to use (you may not read its ${ENDPOINT_FILE})`;
    }
  }
  return existsSync(join(directory, TOKEN_FILE))
    ? `no control plane runs in ${directory} now`
    : `no control plane has been started in ${directory}`;
}

function localToken(place: Place, layers: readonly Layer[], options: GalleyOptions): string | undefined {
  if (place.dataDirectory !== undefined) return readToken(place.dataDirectory);
  if (!isLoopback(place.address)) return undefined;
  const named = layers.find((layer) => layer.dataDirectory !== undefined)?.dataDirectory;
  return readToken(named ?? defaultDataDirectory(options.env ?? process.env));
}

/** `host:port`; a missing port is 8642, a scheme `http://` is dropped. */
export function parseAddress(text: string): string {
  const match = /^(?:https?:\/\/)?(\[[0-9a-fA-F:.]+\]|[^\s:/[\]]+)(?::(\d{1,5}))?\/?$/.exec(text);
  const port = Number(match?.[2] ?? DEFAULT_PORT);
  if (match?.[1] === undefined || port < 1 || port > 65_535) {
    throw new GalleyError('INVALID_ARGUMENT', `address must be host:port with a port from 1 to 65535, got "${text}"`);
  }
  return `${match[1]}:${port}`;
}

/** Whether an address (`host:port`) is this machine. */
export function isLoopback(address: string): boolean {
  return /^(127\.\d+\.\d+\.\d+|localhost|\[::1\]):\d+$/.test(address);
}

function readConfigFile(path: string | undefined, env: NodeJS.ProcessEnv): Layer {
  const file = path ?? join(nonEmpty(env['XDG_CONFIG_HOME']) ?? join(homedir(), '.config'), 'galley', 'config.json');
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (path === undefined) return {};
    throw new GalleyError('INVALID_ARGUMENT', `configuration file ${file} cannot be read: ${(error as Error).message}`);
  }
  return parseConfig(text, file);
}

const CONFIG_KEYS = ['address', 'token', 'account', 'dataDirectory'] as const;

function parseConfig(text: string, file: string): Layer {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new GalleyError('INVALID_ARGUMENT', `configuration file ${file} is not JSON: ${(error as Error).message}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new GalleyError('INVALID_ARGUMENT', `configuration file ${file} must hold one JSON object`);
  }
  const layer: { [K in (typeof CONFIG_KEYS)[number]]?: string } = {};
  for (const [key, item] of Object.entries(value)) {
    const known = CONFIG_KEYS.find((name) => name === key);
    if (known === undefined || typeof item !== 'string') {
      const problem = known === undefined ? `knows ${CONFIG_KEYS.join(', ')}; got` : 'wants a string for';
      throw new GalleyError('INVALID_ARGUMENT', `configuration file ${file} ${problem} "${key}"`);
    }
    layer[known] = item;
  }
  return layer;
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}

function positive(name: string, value: number): number {
  if (Number.isFinite(value) && value > 0) return value;
  throw new GalleyError('INVALID_ARGUMENT', `${name} must be a positive number of milliseconds, got ${value}`);
}
