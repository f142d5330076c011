/**
 * Bundles the command line for `sdk/bin/galley`: `sdk/dist/galley.mjs`, which starts at once, and beside it what it
 * loads when asked to (the server, the agent). It is npm's `prepare` too, so it is quick.
 *
 * A source that starts another file (a worker, a launcher) or reads one names it as `new URL('./x', import.meta.url)`;
 * such files are bundled or copied into `sdk/dist` as well, and the bundle points there.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { isTestCode } from './architecture.ts';
import { bundle } from './bundle.ts';
import { listFiles, ROOT } from './sources.ts';

const ENTRY = 'sdk/cli/main.ts';
const DIST = 'sdk/dist';
const BUNDLED_FOLDERS = /^(?:proto|control-plane|agent|sdk)\//;

if (existsSync(join(ROOT, ENTRY))) {
  const started = performance.now();
  const sources = listFiles().filter((path) => BUNDLED_FOLDERS.test(path) && !isTestCode(path));
  const written = await bundle({ root: ROOT, entry: ENTRY, dist: DIST, sources });
  console.log(`${written.length} files in ${DIST} (${Math.round(performance.now() - started)} ms)`);
} else {
  console.log(`nothing to bundle: ${ENTRY} does not exist`);
}
