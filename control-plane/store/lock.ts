import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { StoreError } from './store.ts';

/**
 * The store's own lock. LevelDB's is not enough: a second open in the same process closes a descriptor of LOCK, which by
 * the rules of fcntl(2) releases the lock that the first open holds, and another process may then walk in.
 *
 * A lock must go away with its owner, kill -9 included, and be seen across containers, so it has to be one that the
 * kernel holds on the file itself. A pid file is neither (pids are reused, and differ between pid namespaces, and
 * taking over a stale one is a race); an abstract socket is private to a network namespace; a socket in the file system
 * leaves a stale name behind that two starters can both take over. Node offers no flock, but it contains SQLite, whose
 * exclusive transaction is a kernel lock on an empty file, and which keeps count inside the process by inode: a second
 * open, by whatever path or thread, is refused without releasing the first. (As with every such lock, nothing else in
 * the process may open and close the file.)
 */
export interface DirectoryLock {
  /** Idempotent. */
  release(): void;
}

const LOCK_FILE = 'LOCK';
/** Who holds the lock, for messages only; it says nothing about whether the lock is held. */
const OWNER_FILE = 'LOCK.owner';
/** SQLite's result code for a lock that somebody else holds. */
const SQLITE_BUSY = 5;

/** Takes the lock of the directory or throws `LOCKED`. Does not wait. */
export function lockDirectory(dir: string): DirectoryLock {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(join(dir, LOCK_FILE), { timeout: 0 });
    // A journal on disk would be one more file; nothing is ever written in this transaction.
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch (error) {
    database?.close();
    throw new StoreError('LOCKED', lockMessage(dir, error), { cause: error });
  }
  const locked = database;
  writeOwner(dir);
  return {
    release() {
      if (locked.isOpen) locked.close();
    },
  };
}

function lockMessage(dir: string, error: unknown): string {
  const busy = error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY;
  return busy
    ? `${dir} is in use by another control plane (${describeOwner(dir)}). Stop that one, or give this one a directory of its own.`
    : `${join(dir, LOCK_FILE)} cannot be locked: ${String(error)}. Check that this account may write there.`;
}

function writeOwner(dir: string): void {
  try {
    writeFileSync(join(dir, OWNER_FILE), `process ${process.pid} on ${hostname()} since ${new Date().toISOString()}\n`);
  } catch {
    // A full disk must not keep the store from opening for the sake of a better message.
  }
}

function describeOwner(dir: string): string {
  const path = join(dir, OWNER_FILE);
  return existsSync(path) ? readFileSync(path, 'utf8').trim() || 'unknown process' : 'unknown process';
}
