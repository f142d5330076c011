/** Refuses a lock that `npm ci` would refuse (`lock.ts`); with `--write`, completes it. Run it after `npm install`. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { completeLock, type Lock, missingEntries } from './lock.ts';
import { ROOT } from './sources.ts';

const path = join(ROOT, 'package-lock.json');
const lock = JSON.parse(readFileSync(path, 'utf8')) as Lock;
const missing = Object.keys(missingEntries(lock));

if (missing.length === 0) {
  console.log('package-lock.json names every optional package');
} else if (process.argv.includes('--write')) {
  writeFileSync(path, `${JSON.stringify(completeLock(lock), null, 2)}\n`);
  console.log(`${missing.length} optional packages added to package-lock.json`);
} else {
  for (const name of missing) console.error(`package-lock.json lacks ${name}`);
  console.error('Run `npm run lock` and commit the result.');
  process.exitCode = 1;
}
