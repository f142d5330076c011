import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { type ArchiveEntry, cpioArchive } from './cpio.ts';
import type { Kernel } from './kernel.ts';
import { findTool, librariesOf } from './tools.ts';

/** The scripts that run in the guest. */
export const GUEST_SCRIPTS = fileURLToPath(new URL('./guest/', import.meta.url));

/** The guest's first root: busybox, the modules of its disks and network, and `guest/first-init`. */
export async function makeInitramfs(kernel: Kernel): Promise<Buffer> {
  const busybox = await busyboxPath();
  const libraries = await librariesOf(busybox);
  const directories = ['bin', 'dev', 'proc', 'system', 'modules', ...parentsOf(libraries)];
  const entries: ArchiveEntry[] = directories.map((path) => ({ path }));
  for (const [path, source] of [['bin/busybox', busybox], ...libraries.map((path) => [path.slice(1), path])]) {
    if (path !== undefined && source !== undefined) {
      entries.push({ path, content: await readFile(source), executable: true });
    }
  }
  entries.push({ path: 'init', content: await readFile(`${GUEST_SCRIPTS}first-init`), executable: true });
  for (const [name, content] of kernel.modules) entries.push({ path: `modules/${name}.ko`, content });
  const order = [...kernel.modules.keys()].map((name) => `${name}.ko\n`).join('');
  entries.push({ path: 'modules/order', content: Buffer.from(order) });
  return cpioArchive(entries);
}

export async function busyboxPath(): Promise<string> {
  const path = await findTool('busybox');
  if (path === undefined) throw new Error('busybox is not on the PATH');
  return path;
}

/** Every directory above these absolute paths, outermost first, relative to `/`. */
function parentsOf(paths: readonly string[]): string[] {
  const parents = new Set<string>();
  for (const path of paths) {
    const names = path.split('/').slice(1, -1);
    names.forEach((_, index) => {
      parents.add(names.slice(0, index + 1).join('/'));
    });
  }
  return [...parents];
}
