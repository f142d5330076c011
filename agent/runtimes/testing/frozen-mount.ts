import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { execa } from 'execa';

export interface FrozenMount {
  readonly path: string;
  thaw(): Promise<void>;
}

/**
 * Mounts a FUSE file system whose server never answers, as a dead NFS server would not: whoever touches it sleeps in
 * the kernel. Undefined where this is not allowed (it takes root and /dev/fuse).
 */
export async function freezeMount(path: string): Promise<FrozenMount | undefined> {
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK);
  } catch {
    return undefined;
  }
  if (process.getuid?.() !== 0) return undefined;
  await mkdir(path);
  const options = 'fd=3,rootmode=40000,user_id=0,group_id=0,allow_other';
  const script = `exec 3<>/dev/fuse; mount -i -t fuse frozen "$1" -o ${options} && echo mounted; exec sleep 1000`;
  const server = spawn('sh', ['-c', script, 'sh', path], { stdio: ['ignore', 'pipe', 'inherit'] });
  const gone = new Promise((resolve) => server.once('close', resolve));
  const lines = createInterface(server.stdout);
  await new Promise((resolve) => lines.once('line', resolve));
  return {
    path,
    thaw: async () => {
      // The connection ends with its last descriptor: everybody who waits gets an error.
      server.kill('SIGKILL');
      await gone;
      await execa('umount', ['-l', path]);
    },
  };
}
