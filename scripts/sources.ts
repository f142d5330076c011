/** The repository's own files: everything below its root that git would see, found without git. */
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Absolute path of the repository's root. */
export const ROOT = dirname(import.meta.dirname);

const SKIPPED_DIRECTORIES = new Set(['node_modules', '.git', 'dist', '.tsbuild']);

/** Paths relative to `root`, with forward slashes, sorted. A walk rather than `git ls-files`: a tarball has no git. */
export function listFiles(root: string = ROOT): string[] {
  const found: string[] = [];
  const walk = (relative: string): void => {
    for (const entry of readdirSync(join(root, relative), { withFileTypes: true })) {
      const path = relative === '' ? entry.name : `${relative}/${entry.name}`;
      if (entry.isDirectory()) {
        if (!SKIPPED_DIRECTORIES.has(entry.name)) walk(path);
      } else if (entry.isFile() && !entry.name.endsWith('.log')) {
        found.push(path);
      }
    }
  };
  walk('');
  return found.sort();
}
