import { readFileSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { syncDirectory } from '../journal/durable.ts';

/** What the control plane takes as the name of a node. */
const NODE_NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;
const MAX_CHARACTERS = 128;

/** Throws RangeError for a name that the control plane would refuse. */
export function checkNodeName(name: string): string {
  if (!NODE_NAME.test(name)) {
    throw new RangeError(
      `nodeName: 1 to ${MAX_CHARACTERS} letters, digits, '_', '.' and '-', the first a letter or digit; got ${JSON.stringify(name)}`,
    );
  }
  return name;
}

/** A host's name as a node's name: what is not allowed becomes `-`. */
export function nodeNameOf(hostname: string): string {
  const name = hostname
    .replace(/[^A-Za-z0-9_.-]/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, MAX_CHARACTERS);
  return name === '' ? 'node' : name;
}

/** In the agent's state directory. */
const NAME_FILE = 'node-name';

/** The name under which a state directory has served before; undefined for a new one. */
export function keptNodeName(directory: string): string | undefined {
  try {
    return readFileSync(join(directory, NAME_FILE), 'utf8').trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** The attempts in a state directory are those of the node of this name, whatever the host is called by then. */
export async function keepNodeName(directory: string, name: string): Promise<void> {
  const path = join(directory, NAME_FILE);
  const file = await open(`${path}.new`, 'w', 0o600);
  try {
    await file.writeFile(`${name}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.new`, path);
  await syncDirectory(directory);
}
