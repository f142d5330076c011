/**
 * `npm run test:powercut`: the control plane in a qemu guest whose power is cut under load. kill -9 proves nothing about
 * sync, since the page cache survives it; here everything goes that the guest had not handed to its disk. What clients
 * outside were told (`ledger.ts`) is compared with what is there when the guest is up again (`judge.ts`). Without sync
 * the same comparison must find a loss, or it would prove nothing either.
 *
 * Takes about three minutes. The last line is `N passed, N failed`. Names of parts as arguments run only these;
 * GALLEY_POWERCUT_SEED repeats a run's choices.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seededRandom } from '../harness/random.ts';
import { Report } from './report.ts';
import { prepareSite } from './site.ts';
import { requireTools } from './tools.ts';
import { runWhileCompacting } from './while-compacting.ts';
import { runWithAgent } from './with-agent.ts';
import { runWithSync } from './with-sync.ts';
import { runWithoutSync } from './without-sync.ts';

const SEED_ENVIRONMENT = 'GALLEY_POWERCUT_SEED';

const PARTS = new Map([
  ['with-sync', runWithSync],
  ['while-compacting', runWhileCompacting],
  ['with-agent', runWithAgent],
  ['without-sync', runWithoutSync],
]);

const seed = Number(process.env[SEED_ENVIRONMENT] ?? Math.floor(Math.random() * 2 ** 32));
const report = new Report();
const work = mkdtempSync(join(tmpdir(), 'galley-powercut-'));
process.once('exit', () => rmSync(work, { recursive: true, force: true }));
// Guests end with this process only when it ends in an orderly way.
process.once('SIGINT', () => process.exit(130));
process.once('SIGTERM', () => process.exit(143));

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !PARTS.has(name));

/** A part that breaks off counts as one failure and keeps no other from running. */
async function attempt<T>(name: string, act: () => Promise<T>): Promise<T | undefined> {
  try {
    return await act();
  } catch (error) {
    report.failed(`${name} could not be finished`, [error instanceof Error ? (error.stack ?? '') : String(error)]);
    return undefined;
  }
}

console.log(`${SEED_ENVIRONMENT}=${seed}`);
const site = await attempt('the guest', async () => {
  if (unknown.length > 0) throw new Error(`parts are ${[...PARTS.keys()].join(', ')}; got ${unknown.join(', ')}`);
  await requireTools();
  return await prepareSite(work);
});
for (const [name, run] of PARTS) {
  if (site === undefined || (asked.length > 0 && !asked.includes(name))) continue;
  await attempt(name, () => run(site, report, seededRandom(seed)));
}
process.exitCode = report.finish();
