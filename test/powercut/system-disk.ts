import { cp, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { busyboxPath, GUEST_SCRIPTS } from './initramfs.ts';
import { librariesOf, runTool } from './tools.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const DIST = join(ROOT, 'sdk', 'dist');

/** The bundle leaves this package, which has a native part, in node_modules. */
const NATIVE_PACKAGE = 'classic-level';

/** What the file system itself takes of the disk, beyond its files. */
const OVERHEAD_BYTES = 64 * 1024 * 1024;

/**
 * Writes the guest's read-only system disk: this Node, its libraries, busybox and the bundle of `galley` as people get it.
 * `work` is an empty directory.
 */
export async function makeSystemDisk(image: string, work: string): Promise<void> {
  const root = join(work, 'system');
  for (const directory of ['bin', 'data', 'dev', 'proc', 'sys', 'tmp', 'etc', 'galley']) {
    await mkdir(join(root, directory), { recursive: true });
  }
  const busybox = await busyboxPath();
  await cp(busybox, join(root, 'bin', 'busybox'), { dereference: true });
  await cp(process.execPath, join(root, 'bin', 'node'), { dereference: true });
  for (const library of new Set([...(await librariesOf(process.execPath)), ...(await librariesOf(busybox))])) {
    await cp(library, join(root, library), { dereference: true });
  }
  await writeFile(join(root, 'etc', 'passwd'), 'root:x:0:0:root:/tmp:/bin/sh\n');
  await cp(join(GUEST_SCRIPTS, 'init'), join(root, 'init'));
  await copyBundle(join(root, 'galley'));
  const bytes = (await sizeOf(root)) + OVERHEAD_BYTES;
  await makeFileSystem(image, bytes, ['-O', '^has_journal', '-d', root]);
  await rm(root, { recursive: true });
}

/** An empty disk for the state, with the journal that any ext4 has. */
export async function makeDataDisk(image: string, bytes: number): Promise<void> {
  await makeFileSystem(image, bytes, ['-E', 'lazy_itable_init=0']);
}

async function makeFileSystem(image: string, bytes: number, options: readonly string[]): Promise<void> {
  await runTool('mke2fs', ['-q', '-F', '-t', 'ext4', ...options, image, `${Math.ceil(bytes / 1024)}k`]);
}

async function copyBundle(target: string): Promise<void> {
  const files = await readdir(DIST).catch((error: unknown) => {
    throw new Error('there is no bundle of galley: npm run build makes it', { cause: error });
  });
  for (const file of files.filter((name) => !name.startsWith('.'))) {
    await cp(join(DIST, file), join(target, 'dist', file), { recursive: true });
  }
  for (const name of await withDependencies(NATIVE_PACKAGE)) {
    await cp(join(ROOT, 'node_modules', name), join(target, 'node_modules', name), {
      recursive: true,
      // The sources of LevelDB, which nothing loads.
      filter: (path) => !path.startsWith(join(ROOT, 'node_modules', NATIVE_PACKAGE, 'deps')),
    });
  }
}

async function withDependencies(name: string, found = new Set<string>()): Promise<Set<string>> {
  if (found.has(name)) return found;
  found.add(name);
  const manifest = JSON.parse(await readFile(join(ROOT, 'node_modules', name, 'package.json'), 'utf8')) as {
    readonly dependencies?: Readonly<Record<string, string>>;
  };
  for (const dependency of Object.keys(manifest.dependencies ?? {})) await withDependencies(dependency, found);
  return found;
}

/** Bytes of the files below a directory, each rounded up to the blocks that it takes. */
async function sizeOf(directory: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name))).blocks * 512;
  }
  return bytes;
}
