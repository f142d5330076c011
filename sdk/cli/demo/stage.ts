import { chmodSync, copyFileSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { splitFiles } from './corpus.ts';

// The jobs of a root agent run as an unprivileged user: what they read, write and execute must be open to that user,
// while the data directory beside it stays closed.

export interface Stage {
  readonly directory: string;
  /** Absolute paths that the job's user can use. */
  readonly node: string;
  readonly mapScript: string;
  readonly mergeScript: string;
  readonly parts: readonly { readonly list: string; readonly output: string }[];
  readonly index: string;
}

/** Lays out the scratch directory below `root`, which exists. */
export function prepareStage(root: string, files: readonly string[], jobs: number): Stage {
  const directory = join(root, 'scratch');
  mkdirSync(directory);
  // Like /tmp: everybody may write, nobody may touch what is another's.
  chmodSync(directory, 0o1777);
  const open = (path: string) => openToOthers(path, directory);
  const readable = files.map((file) => open(file));
  const parts = splitFiles(readable, jobs).map((group, index) => {
    const name = String(index).padStart(3, '0');
    const list = join(directory, `part-${name}.list`);
    writeFileSync(list, JSON.stringify(group), { mode: 0o644 });
    return { list, output: join(directory, `part-${name}.json`) };
  });
  return {
    directory,
    node: open(process.execPath),
    mapScript: copy(fileURLToPath(new URL('../../demo/map.ts', import.meta.url)), directory),
    mergeScript: copy(fileURLToPath(new URL('../../demo/merge.ts', import.meta.url)), directory),
    parts,
    index: join(directory, 'word-index.json'),
  };
}

/** The path itself where everybody may read it, else a copy in the scratch directory. */
function openToOthers(path: string, directory: string): string {
  if (process.getuid?.() !== 0 || isOpen(path)) return path;
  return copy(path, directory);
}

let copies = 0;

function copy(path: string, directory: string): string {
  // A script leaves the package that says which kind of module it is; its name has to say so.
  const target = join(directory, `${copies++}-${basename(path).replace(/\.ts$/, '.mts')}`);
  copyFileSync(path, target);
  chmodSync(target, statSync(path).mode & 0o100 ? 0o755 : 0o644);
  return target;
}

const directoriesOpen = new Map<string, boolean>();

function isOpen(path: string): boolean {
  return (statSync(path).mode & 0o004) !== 0 && isDirectoryOpen(dirname(path));
}

function isDirectoryOpen(path: string): boolean {
  let open = directoriesOpen.get(path);
  if (open === undefined) {
    open = (statSync(path).mode & 0o001) !== 0 && (path === dirname(path) || isDirectoryOpen(dirname(path)));
    directoriesOpen.set(path, open);
  }
  return open;
}
