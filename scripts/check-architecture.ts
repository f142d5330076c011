/** Checks every import against the arrows of the layout (`architecture.ts`). Exits with 1 and one line for each wrong one. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkFile, type Workspace } from './architecture.ts';
import { listFiles, ROOT } from './sources.ts';

interface Manifest {
  readonly name: string;
  readonly workspaces?: readonly string[];
  readonly dependencies?: Readonly<Record<string, string>>;
}

function readManifest(folder: string): Manifest {
  return JSON.parse(readFileSync(join(ROOT, folder, 'package.json'), 'utf8')) as Manifest;
}

const workspaces: Workspace[] = (readManifest('.').workspaces ?? []).map((folder) => {
  const { name, dependencies } = readManifest(folder);
  return { name, folder, dependencies: new Set(Object.keys(dependencies ?? {})) };
});

// Generated code is the generator's; the checks' own tests are full of examples of what they refuse.
const EXEMPT = /^(?:proto\/gen\/|scripts\/.*\.test\.ts$)/;
const sources = listFiles().filter((path) => path.endsWith('.ts') && !EXEMPT.test(path));
const problems = sources.flatMap((path) => checkFile(path, readFileSync(join(ROOT, path), 'utf8'), workspaces));

for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exit(1);
console.log(`${sources.length} sources, every import along the arrows`);
