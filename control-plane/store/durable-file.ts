import { open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import { isErrno } from './errno.ts';
import { StoreError } from './store.ts';

/** Makes the directory's entries (files created, renamed, removed) survive a power cut. */
export async function syncDirectory(dir: string): Promise<void> {
  const handle = await open(dir, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Replaces the file so that after a power cut there is the old content or the new, never a mixture. */
export async function replaceFile(path: string, content: string): Promise<void> {
  const temporary = `${path}.tmp`;
  try {
    const handle = await open(temporary, 'w', 0o600);
    try {
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(dirname(path));
}

/** A small JSON file for people and programs: one line of JSON and one line with its CRC-32. */
export async function writeCheckedJson(path: string, value: unknown): Promise<void> {
  const json = JSON.stringify(value);
  await replaceFile(path, `${json}\n${checksumLine(json)}\n`);
}

/** Undefined when there is no such file; rejects with `CORRUPT` when its checksum does not match. */
export async function readCheckedJson(path: string, remedy: string): Promise<unknown> {
  let content: string;
  try {
    content = await readFile(path, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
  const [json = '', checksum = ''] = content.split('\n');
  if (checksum !== checksumLine(json)) {
    throw new StoreError('CORRUPT', `${path} does not match its checksum. ${remedy}`);
  }
  return JSON.parse(json);
}

function checksumLine(json: string): string {
  return `crc32 ${crc32(json).toString(16).padStart(8, '0')}`;
}
