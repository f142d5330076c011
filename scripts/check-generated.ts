/** Regenerates the contract's code into a temporary directory and compares: what is committed is what the .proto says. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { listFiles, ROOT } from './sources.ts';
import { runTool } from './tools.ts';

const GENERATED = 'proto/gen';

/** Paths that differ, each with how. Empty: the two trees are the same to the byte. */
function compareTrees(expected: string, actual: string): string[] {
  const expectedFiles = existsSync(expected) ? listFiles(expected) : [];
  const actualFiles = existsSync(actual) ? listFiles(actual) : [];
  const missing = expectedFiles.filter((path) => !actualFiles.includes(path)).map((path) => `${path}: missing`);
  const stale = actualFiles
    .filter((path) => !expectedFiles.includes(path))
    .map((path) => `${path}: no .proto makes it`);
  const changed = expectedFiles
    .filter((path) => actualFiles.includes(path))
    .filter((path) => !readFileSync(join(expected, path)).equals(readFileSync(join(actual, path))))
    .map((path) => `${path}: differs`);
  return [...missing, ...stale, ...changed];
}

const temporary = mkdtempSync(join(tmpdir(), 'galley-generated-'));
try {
  const { status, output } = await runTool('buf', ['generate', '--output', temporary]);
  if (status !== 0) {
    console.error(output);
    process.exitCode = 1;
  } else {
    const differences = compareTrees(join(temporary, GENERATED), join(ROOT, GENERATED));
    for (const difference of differences) console.error(`${GENERATED}/${difference}`);
    if (differences.length > 0) {
      console.error('Run `npm run generate` and commit the result.');
      process.exitCode = 1;
    } else {
      console.log('generated code is what the .proto files say');
    }
  }
} finally {
  rmSync(temporary, { recursive: true, force: true });
}
