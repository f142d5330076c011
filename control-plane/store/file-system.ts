import { statfs } from 'node:fs/promises';
import { StoreError } from './store.ts';

/**
 * File systems that state must not stand on, by the magic numbers of statfs(2). A network file system acknowledges
 * syncs, orders writes and keeps locks by rules of its own; a memory file system forgets everything at the next boot.
 */
const NETWORK: ReadonlyMap<number, string> = new Map([
  [0x6969, 'NFS'],
  [0x517b, 'SMB'],
  [0xfe534d42, 'SMB2'],
  [0xff534d42, 'CIFS'],
  [0x5346414f, 'AFS'],
  [0x6b414653, 'AFS'],
  [0x00c36400, 'Ceph'],
  [0x01021997, '9P'],
  [0x01161970, 'GFS2'],
  [0x7461636f, 'OCFS2'],
  [0x0bd00bd0, 'Lustre'],
  [0x47504653, 'GPFS'],
  [0x19830326, 'BeeGFS'],
  [0xaad7aaea, 'PanFS'],
  [0x73757245, 'Coda'],
  [0x564c, 'NCP'],
  [0x786f4256, 'VirtualBox shared folder'],
  // Not all of FUSE is remote, but sshfs, GlusterFS and s3fs are, and from here they look the same.
  [0x65735546, 'FUSE'],
]);

const MEMORY: ReadonlyMap<number, string> = new Map([
  [0x01021994, 'tmpfs'],
  [0x858458f6, 'ramfs'],
]);

/** The magic number of the file system that holds `path`; injected in tests. */
export type FileSystemTypeOf = (path: string) => Promise<number>;

export const fileSystemTypeOf: FileSystemTypeOf = async (path) => (await statfs(path)).type;

export interface FileSystemOptions {
  /** Accept tmpfs and ramfs, where nothing survives a boot. For tests and throw-away clusters. Default false. */
  readonly allowMemoryFileSystem?: boolean;
  /** Default: statfs(2). */
  readonly fileSystemTypeOf?: FileSystemTypeOf;
}

/**
 * Rejects with `FILE_SYSTEM` when `dir` (which must exist) is on a network or memory file system. The magic numbers are
 * Linux's: elsewhere everything is accepted.
 */
export async function requireLocalDisk(dir: string, options: FileSystemOptions = {}): Promise<void> {
  if (process.platform !== 'linux') return;
  const type = (await (options.fileSystemTypeOf ?? fileSystemTypeOf)(dir)) >>> 0;
  const network = NETWORK.get(type);
  if (network !== undefined) {
    throw new StoreError(
      'FILE_SYSTEM',
      `${dir} is on a network file system (${network}), which does not keep what it acknowledged the way a disk does. ` +
        'Give a directory on a local disk.',
    );
  }
  const memory = MEMORY.get(type);
  if (memory !== undefined && options.allowMemoryFileSystem !== true) {
    throw new StoreError(
      'FILE_SYSTEM',
      `${dir} is on a memory file system (${memory}): the cluster's state would be gone after a restart of the machine. ` +
        'Give a directory on a local disk.',
    );
  }
}

/** Bytes that an unprivileged writer may still write to the file system of `path`. */
export async function freeBytes(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}
