/** The bundler behind `build.ts`. */
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { build, type Plugin } from 'esbuild';
import { bundledName, collectReferences, findLostPlace, rewriteReferences } from './references.ts';

export interface BundleOptions {
  /** Absolute path of the repository. */
  readonly root: string;
  /** The command line's first file, relative to `root`. */
  readonly entry: string;
  /** Directory that the bundle is written to, relative to `root`. */
  readonly dist: string;
  /** Folders of sources that may refer to files with `new URL('./x', import.meta.url)`, as paths of their files. */
  readonly sources: readonly string[];
}

/** Native add-ons find their binary beside themselves, so they stay in node_modules. */
const EXTERNAL = ['classic-level'];

/** The oldest Node that runs Galley; as in the README. */
const OLDEST_NODE_MAJOR = 24;

/**
 * What a running server has not loaded yet must still be there after a rebuild; chunks are named by their content, so
 * old ones can simply stay for a while.
 */
const STALE_AFTER_MS = 24 * 3600 * 1000;

/**
 * The first file that runs. It must parse on an old Node, to say so; everything else is behind a dynamic import, which
 * is also what lets the compile cache see it. The cache lies beside the bundle: who may write there may change the
 * bundle itself, which is not true of a directory in /tmp.
 */
const START = `import module from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

const major = Number(process.versions.node.split('.')[0]);
if (major < ${OLDEST_NODE_MAJOR}) {
  console.error(\`galley: needs Node ${OLDEST_NODE_MAJOR} or later, this is \${process.version}\`);
  process.exit(125);
}
const { FAILED } = module.constants.compileCacheStatus;
if (module.enableCompileCache(join(import.meta.dirname, '.cache')).status === FAILED) {
  module.enableCompileCache(join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'galley', 'compile'));
}
await import('./main.mjs');
`;

/** What CommonJS packages expect to find; a bundle of ECMAScript modules has to make it. */
const REQUIRE = `import { createRequire as galleyCreateRequire } from 'node:module';
const require = galleyCreateRequire(import.meta.url);`;

/** Paths of the files written, relative to `root`. */
export async function bundle({ root, entry, dist, sources }: BundleOptions): Promise<string[]> {
  const references = findReferences(root, sources);
  const scripts = references.filter((path) => path.endsWith('.ts'));
  const outdir = join(root, dist);

  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: [
      { in: entry, out: 'main' },
      ...scripts.map((path) => ({ in: path, out: bundledName(path).replace(/\.mjs$/, '') })),
    ],
    outdir,
    outExtension: { '.js': '.mjs' },
    chunkNames: 'chunk-[hash]',
    bundle: true,
    splitting: true,
    write: false,
    platform: 'node',
    format: 'esm',
    target: `node${OLDEST_NODE_MAJOR}`,
    external: EXTERNAL,
    banner: { js: REQUIRE },
    logLevel: 'silent',
    plugins: [rewritePlugin(root)],
  });

  mkdirSync(outdir, { recursive: true });
  const written = outputFiles.map(({ path, contents }) =>
    replaceFile(path, (temporary) => writeFileSync(temporary, contents)),
  );
  written.push(replaceFile(join(outdir, 'galley.mjs'), (temporary) => writeFileSync(temporary, START)));
  for (const path of references.filter((path) => !path.endsWith('.ts'))) {
    written.push(
      replaceFile(join(outdir, bundledName(path)), (temporary) => copyFileSync(join(root, path), temporary)),
    );
  }
  removeStale(outdir, written);
  return written.map((path) => relative(root, path));
}

function findReferences(root: string, sources: readonly string[]): string[] {
  const found = new Set<string>();
  for (const path of sources) {
    if (!path.endsWith('.ts')) continue;
    for (const reference of collectReferences(path, readFileSync(join(root, path), 'utf8'))) found.add(reference);
  }
  return [...found].sort();
}

function rewritePlugin(root: string): Plugin {
  return {
    name: 'references',
    setup(bundler) {
      bundler.onLoad({ filter: /\.ts$/ }, ({ path }) => {
        if (path.includes('/node_modules/') || !path.startsWith(`${root}/`)) return undefined;
        const within = relative(root, path);
        const source = readFileSync(path, 'utf8');
        const lost = findLostPlace(source);
        if (lost !== undefined) return { errors: [{ text: `${within}: ${lost}` }] };
        return { contents: rewriteReferences(within, source), loader: 'ts' };
      });
    },
  };
}

/** Writes beside and renames, so that a command that starts meanwhile never reads half a file. */
function replaceFile(path: string, write: (temporary: string) => void): string {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}`);
  write(temporary);
  renameSync(temporary, path);
  return path;
}

function removeStale(outdir: string, written: readonly string[]): void {
  const kept = new Set(written.map((path) => basename(path)));
  for (const entry of readdirSync(outdir, { withFileTypes: true })) {
    const path = join(outdir, entry.name);
    if (!entry.isFile() || kept.has(entry.name)) continue;
    if (Date.now() - statSync(path).mtimeMs > STALE_AFTER_MS) rmSync(path, { force: true });
  }
}
