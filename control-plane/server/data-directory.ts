import { randomUUID } from 'node:crypto';
import { access, mkdir, readFile, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { TOKEN_FILE } from '../security/token-file.ts';
import { replaceFile } from '../store/durable-file.ts';
import { isErrno } from '../store/errno.ts';
import { initialiseStore, type LevelStore, type LevelStoreOptions, openStore } from '../store/level-store.ts';
import { StoreError } from '../store/store.ts';
import { ServerError } from './errors.ts';

/**
 * What a control plane keeps in its data directory:
 *
 * | entry | |
 * |---|---|
 * | `store/` | the state |
 * | `logs/` | what jobs wrote |
 * | `token` | the administrator's token, 0600 |
 * | `endpoint.json` | where it listens, while it runs |
 *
 * Other parts of Galley may keep things of theirs beside these.
 */
export interface DataDirectory {
  readonly path: string;
  readonly store: string;
  readonly logs: string;
}

export function dataDirectory(dataDir: string): DataDirectory {
  const path = resolve(dataDir);
  return { path, store: join(path, 'store'), logs: join(path, 'logs') };
}

/** Opens the state, or makes it in a directory that never had any. */
export async function openState(directory: DataDirectory, options: LevelStoreOptions): Promise<LevelStore> {
  await mkdir(directory.path, { recursive: true, mode: 0o700 });
  try {
    return await openStore(directory.store, options);
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== 'NOT_INITIALISED') throw error;
  }
  // The token is made after the state. A token without state means that the state was lost, not that this is new.
  if (await exists(join(directory.path, TOKEN_FILE))) {
    throw new ServerError(
      'STATE',
      `${directory.path} has been used by a control plane, and its state in ${directory.store} is missing. Mount or ` +
        'restore it, or give another directory.',
    );
  }
  await initialiseStore(directory.store, { ...options, clusterId: randomUUID() });
  return openStore(directory.store, options);
}

/** For clients on the same machine: where a running control plane listens. */
export interface Endpoint {
  /** `host:port` of the gRPC plane. */
  readonly address: string;
  /** `host:port` of the HTTP plane. */
  readonly httpAddress: string;
  readonly pid: number;
  readonly clusterId: string;
}

const ENDPOINT_FILE = 'endpoint.json';

export async function writeEndpoint(directory: DataDirectory, endpoint: Endpoint): Promise<void> {
  await replaceFile(join(directory.path, ENDPOINT_FILE), `${JSON.stringify(endpoint)}\n`);
}

/** Removes it if it is still ours. */
export async function removeEndpoint(directory: DataDirectory, endpoint: Endpoint): Promise<void> {
  const path = join(directory.path, ENDPOINT_FILE);
  try {
    if ((await readFile(path, 'utf8')) === `${JSON.stringify(endpoint)}\n`) await rm(path, { force: true });
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}
