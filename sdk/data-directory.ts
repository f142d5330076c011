import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';

// What a control plane leaves in its data directory for clients of the same user on the same machine.

/** Written by a running control plane: where it listens, and its process. */
export interface Endpoint {
  /** `host:port`. */
  readonly address: string;
  readonly pid: number;
}

export const ENDPOINT_FILE = 'endpoint.json';
export const TOKEN_FILE = 'token';

/** `/var/lib/galley` for root, else `galley` below XDG_DATA_HOME or `~/.local/share`. */
export function defaultDataDirectory(env: NodeJS.ProcessEnv, uid = process.getuid?.()): string {
  if (uid === 0) return '/var/lib/galley';
  const shared = env['XDG_DATA_HOME'];
  return join(shared !== undefined && isAbsolute(shared) ? shared : join(homedir(), '.local', 'share'), 'galley');
}

/** Undefined when no control plane has written one. */
export function readEndpoint(directory: string): Endpoint | undefined {
  const text = readIfThere(join(directory, ENDPOINT_FILE));
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null || !('address' in value) || !('pid' in value)) return undefined;
    const { address, pid } = value;
    return typeof address === 'string' && typeof pid === 'number' ? { address, pid } : undefined;
  } catch {
    return undefined;
  }
}

/** Undefined when there is none, or it is not ours to read. */
export function readToken(directory: string): string | undefined {
  return readIfThere(join(directory, TOKEN_FILE))?.trim();
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'EACCES' || code === 'ENOTDIR') return undefined;
    throw error;
  }
}
