import { randomBytes } from 'node:crypto';
import { link, open, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { syncDirectory } from '../store/durable-file.ts';
import { isErrno } from '../store/errno.ts';

/** Of an administrator's token, before its encoding. */
const TOKEN_BYTES = 32;

/** In the data directory; readable by its owner alone. */
export const TOKEN_FILE = 'token';

/** What `newToken` makes: base64url of `TOKEN_BYTES`, or what an operator wrote: 16 to 512 printable characters. */
const TOKEN = /^[\x21-\x7e]{16,512}$/;

/**
 * The administrator's token of this data directory, made at the first start. A file is never seen half written and two
 * starters agree on one token: it is written under another name and linked, which fails when the name is taken.
 */
export async function readOrCreateToken(dataDir: string): Promise<string> {
  const path = join(dataDir, TOKEN_FILE);
  return (await readToken(path)) ?? (await createToken(path));
}

async function readToken(path: string): Promise<string | undefined> {
  let content: string;
  try {
    content = await readFile(path, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
  const token = content.trim();
  if (!TOKEN.test(token)) {
    throw new Error(
      `${path} holds no token: 16 to 512 printable characters on one line are expected. Remove it, and the next start makes a new one.`,
    );
  }
  return token;
}

async function createToken(path: string): Promise<string> {
  const token = randomBytes(TOKEN_BYTES).toString('base64url');
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(`${token}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await link(temporary, path);
    await syncDirectory(dirname(path));
    return token;
  } catch (error) {
    const theirs = isErrno(error, 'EEXIST') ? await readToken(path) : undefined;
    if (theirs === undefined) throw error;
    return theirs;
  } finally {
    await rm(temporary, { force: true });
  }
}
