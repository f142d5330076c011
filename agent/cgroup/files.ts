import { closeSync, constants, mkdirSync, openSync, readFileSync, rmdirSync, writeSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { CgroupError } from './cgroup.ts';

/** Control files answer from memory, never from a disk, so they are read and written synchronously. */

export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'unknown';
}

/** One write(2) of the whole value, which is what control files expect; never creates the file. */
export function writeControl(path: string, value: string | number): void {
  const descriptor = openSync(path, constants.O_WRONLY);
  try {
    writeSync(descriptor, `${value}`);
  } finally {
    closeSync(descriptor);
  }
}

/** For the few writes that can take long: on another thread, so that the agent does not wait. */
export async function writeControlApart(path: string, value: string | number): Promise<void> {
  const file = await open(path, constants.O_WRONLY);
  try {
    await file.write(`${value}`);
  } finally {
    await file.close();
  }
}

export function setLimit(path: string, value: string | number): void {
  try {
    writeControl(path, value);
  } catch (error) {
    throw new CgroupError('limit_refused', `${path}: the kernel refused ${value} (${errorCode(error)})`, {
      cause: error,
    });
  }
}

/** The content, or undefined where this kernel has no such file. */
export function readControl(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

export function readNumber(path: string): number | undefined {
  const text = readControl(path);
  if (text === undefined) return undefined;
  const value = Number(text);
  return Number.isFinite(value) ? value : undefined;
}

/** The number after `name` in a flat-keyed file such as `memory.events`. */
export function readKeyed(path: string, name: string): number | undefined {
  const text = readControl(path);
  if (text === undefined) return undefined;
  for (const line of text.split('\n')) {
    if (line.startsWith(`${name} `)) return Number(line.slice(name.length + 1));
  }
  return undefined;
}

export function readProcesses(path: string): number[] {
  const text = readControl(path);
  if (text === undefined || text === '') return [];
  return text.trimEnd().split('\n').map(Number);
}

export function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
  } catch (error) {
    throw new CgroupError('not_creatable', `cannot create ${path} (${errorCode(error)})`, { cause: error });
  }
}

/** True when the directory is gone afterwards. */
export function removeDirectory(path: string): boolean {
  try {
    rmdirSync(path);
    return true;
  } catch (error) {
    return errorCode(error) === 'ENOENT';
  }
}

export function signalQuietly(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // Gone in the meantime, or not ours to signal: the caller looks again at who is left.
  }
}
