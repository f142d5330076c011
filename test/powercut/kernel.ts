import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { loadOrder } from './kernel-modules.ts';
import { runTool } from './tools.ts';

/** Debian's smallest kernel, made for guests: it has ext4 built in and boots in two seconds of emulation. */
const KERNEL_PACKAGE = 'linux-image-cloud-amd64';

/** Disk and network of a guest; the rest follows from what they depend on. */
const WANTED_MODULES = ['virtio_pci', 'virtio_blk', 'virtio_net'];

export interface Kernel {
  /** Name of the Debian package. */
  readonly name: string;
  /** Path of the bootable image. */
  readonly image: string;
  /** Modules by name, in the order to load them in. */
  readonly modules: ReadonlyMap<string, Buffer>;
}

/**
 * A kernel for the guest, kept in `cache` from one run to the next. It is downloaded and unpacked, never installed.
 * Rejects with a sentence when there is none and none can be had.
 */
export async function provideKernel(cache: string): Promise<Kernel> {
  await mkdir(cache, { recursive: true });
  const [kept] = (await readdir(cache)).filter((name) => name.startsWith('linux-image-')).sort();
  return readKernel(kept === undefined ? await download(cache) : join(cache, kept));
}

async function download(cache: string): Promise<string> {
  const building = await mkdtemp(join(cache, 'building-'));
  try {
    const name = await newestPackage();
    await runTool('apt-get', ['download', '-q', name], building);
    const [archive = ''] = (await readdir(building)).filter((file) => file.endsWith('.deb'));
    const unpacked = join(building, 'unpacked');
    await runTool('dpkg-deb', ['-x', join(building, archive), unpacked]);
    // Somebody else may have been faster, and theirs is as good.
    await rename(unpacked, join(cache, name)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    });
    return join(cache, name);
  } catch (error) {
    throw new Error(
      `the kernel package ${KERNEL_PACKAGE} cannot be downloaded (run apt-get update first, on Debian): ${String(error)}`,
      { cause: error },
    );
  } finally {
    await rm(building, { recursive: true, force: true });
  }
}

/** The package with the version in its name, on which the unversioned one depends. */
async function newestPackage(): Promise<string> {
  const dependencies = await runTool('apt-cache', ['depends', '--important', KERNEL_PACKAGE]);
  const name = /Depends: (linux-image-\S+)/.exec(dependencies)?.[1];
  if (name === undefined) throw new Error(`apt-cache knows no dependency of ${KERNEL_PACKAGE}`);
  return name;
}

async function readKernel(directory: string): Promise<Kernel> {
  const boot = join(directory, 'boot');
  const image = (await readdir(boot)).find((name) => name.startsWith('vmlinuz-'));
  if (image === undefined) throw new Error(`${boot} holds no vmlinuz: remove ${directory}, and it is made again`);
  const files = await readdir(join(directory, 'lib', 'modules'), { recursive: true });
  const paths = new Map(files.map((path) => [basename(path, '.ko'), join(directory, 'lib', 'modules', path)]));
  const modules = loadOrder(WANTED_MODULES, (name) => {
    const path = paths.get(name);
    if (path === undefined) throw new Error(`${directory} holds no module ${name}.ko`);
    return readFileSync(path);
  });
  return { name: basename(directory), image: join(boot, image), modules };
}
