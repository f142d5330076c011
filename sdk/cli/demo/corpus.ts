import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

// What the demo reads: text that is on any machine with the project.

/** Files are enough by then; a demo is not a benchmark. */
const MAX_FILES = 20_000;

export interface Corpus {
  readonly directory: string;
  readonly files: readonly string[];
}

/** All Markdown files under the outermost node_modules that this program, or the current directory, lies in. */
export function findCorpus(): Corpus | undefined {
  for (const start of [realpathSync(process.argv[1] ?? '.'), process.cwd()]) {
    for (const directory of nodeModulesAbove(start)) {
      const files = markdownFiles(directory);
      if (files.length > 0) return { directory, files };
    }
  }
  return undefined;
}

/** Outermost first: a workspace's own holds only what did not fit into the project's. */
function nodeModulesAbove(path: string): string[] {
  const found: string[] = [];
  for (let at = dirname(path); at !== dirname(at); at = dirname(at)) {
    const candidate = join(at, 'node_modules');
    if (existsSync(candidate)) found.unshift(candidate);
  }
  return found;
}

/** Sorted, links not followed. */
function markdownFiles(root: string): string[] {
  const files: string[] = [];
  const directories = [root];
  for (let directory = directories.pop(); directory !== undefined; directory = directories.pop()) {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      const path = join(directory, entry.name);
      if (entry.isDirectory()) directories.push(path);
      else if (entry.isFile() && /\.(md|markdown)$/i.test(entry.name)) files.push(path);
      if (files.length === MAX_FILES) return files.sort();
    }
  }
  return files.sort();
}

/** At most `parts` groups of about the same number of bytes. */
export function splitFiles(files: readonly string[], parts: number): string[][] {
  const groups = Array.from({ length: Math.min(parts, files.length) }, () => ({ bytes: 0, files: [] as string[] }));
  const sized = files.map((file) => ({ file, bytes: statSync(file).size })).sort((a, b) => b.bytes - a.bytes);
  for (const { file, bytes } of sized) {
    const smallest = groups.reduce((least, group) => (group.bytes < least.bytes ? group : least));
    smallest.bytes += bytes;
    smallest.files.push(file);
  }
  return groups.map((group) => group.files);
}
