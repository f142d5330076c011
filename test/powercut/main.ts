/**
 * `npm run test:powercut`: the control plane in a qemu guest whose power is cut under load. kill -9 proves nothing about
 * sync, since the page cache survives it; here everything goes that the guest had not handed to its disk. What clients
 * outside were told (`ledger.ts`) is compared with what is there when the guest is up again (`judge.ts`). Without sync
 * the same comparison must find a loss, or it would prove nothing either.
 *
 * Takes about two minutes. The last line is `N passed, N failed`. GALLEY_POWERCUT_SEED repeats a run's choices.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seededRandom } from '../harness/random.ts';
import { Report } from './report.ts';
import { prepareSite } from './site.ts';
import { requireTools } from './tools.ts';
import { runWithSync } from './with-sync.ts';
import { runWithoutSync } from './without-sync.ts';

const SEED_ENVIRONMENT = 'GALLEY_POWERCUT_SEED';

const seed = Number(process.env[SEED_ENVIRONMENT] ?? Math.floor(Math.random() * 2 ** 32));
const report = new Report();
const work = await mkdtemp(join(tmpdir(), 'galley-powercut-'));
try {
  await requireTools();
  console.log(`${SEED_ENVIRONMENT}=${seed}`);
  const site = await prepareSite(work);
  await runWithSync(site, report, seededRandom(seed));
  await runWithoutSync(site, report, seededRandom(seed));
} catch (error) {
  report.failed('the power cut test itself', [error instanceof Error ? error.message : String(error)]);
} finally {
  await rm(work, { recursive: true, force: true });
}
process.exitCode = report.finish();
