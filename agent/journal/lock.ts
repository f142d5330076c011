import { readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { JournalError } from './errors.ts';

/**
 * One agent per state directory. The lock has to go away with its owner, kill -9 included, which only a lock of the kernel
 * does; Node offers no flock, but an exclusive transaction of the SQLite that it contains is one, on an empty file.
 */
export interface StateLock {
  /** Idempotent. */
  release(): void;
}

const LOCK_FILE = 'LOCK';
/** Who holds the lock, for the message only. */
const OWNER_FILE = 'LOCK.owner';

/** Takes the lock or throws `LOCKED`; does not wait. */
export function lockStateDirectory(directory: string): StateLock {
  const database = new DatabaseSync(join(directory, LOCK_FILE), { timeout: 0 });
  try {
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    const owner = describeOwner(join(directory, OWNER_FILE));
    const message = `${directory} is in use by another agent (${owner}). Stop that one, or give this one a directory of its own.`;
    throw new JournalError('LOCKED', message, { cause: error });
  }
  try {
    const since = new Date().toISOString();
    writeFileSync(join(directory, OWNER_FILE), `process ${process.pid} on ${hostname()} since ${since}\n`);
  } catch {
    // A full disk must not keep the agent from starting for the sake of a better message.
  }
  return {
    release() {
      if (database.isOpen) database.close();
    },
  };
}

function describeOwner(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim() || 'unknown process';
  } catch {
    return 'unknown process';
  }
}
