/** Refuses paths and hosts of one machine in what would be committed (`words.ts`). Exits with 1 and a line for each. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { listFiles, ROOT } from './sources.ts';
import { checkWords } from './words.ts';

/** Shorter checkouts (`/galley`, `/src`) would match ordinary text. */
const SHORTEST_OWN_ROOT_CHARS = 10;

const ownRoot = ROOT.length >= SHORTEST_OWN_ROOT_CHARS ? ROOT : undefined;
const files = listFiles();
const problems = files.flatMap((path) => checkWords(path, readFileSync(join(ROOT, path), 'utf8'), ownRoot));

for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exit(1);
console.log(`${files.length} files, nothing that belongs to one machine`);
