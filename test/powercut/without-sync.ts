import type { Random } from '../harness/random.ts';
import type { Finding } from './judge.ts';
import { Ledger } from './ledger.ts';
import type { Report } from './report.ts';
import { judgeMachine, loadAndCut } from './round.ts';
import { PoweredMachine, type Site } from './site.ts';

/** A loss is expected at the first cut: what is not synced stays in the guest's memory for seconds. */
const MOST_CUTS = 3;

/** The same with sync switched off must fail, or the test could not see a missing sync. */
export async function runWithoutSync(site: Site, report: Report, random: Random): Promise<void> {
  const ledger = new Ledger();
  await using machine = await PoweredMachine.create(site, 'without-sync', ['unsafe-no-sync']);
  await machine.powerOn();
  let findings: Finding[] = [];
  for (let cut = 1; cut <= MOST_CUTS && findings.length === 0; cut++) {
    await loadAndCut(machine, ledger, random);
    await machine.powerOn();
    findings = await judgeMachine(machine, ledger);
  }
  const lost = findings.filter(({ kind }) => kind === 'lost').length;
  const submitted = [...ledger.entries].filter(({ number }) => number !== undefined).length;
  report.check(
    `without sync the judge finds a loss: ${lost} of ${submitted} acknowledged jobs`,
    lost > 0 ? [] : ['no acknowledged job was lost, so this test cannot see a missing sync'],
  );
  // HEAD is synced even then, and witnesses what the state does not hold.
  report.check(
    'without sync the control plane notices the loss by itself and pauses',
    findings.some(({ kind }) => kind === 'loss-noticed') ? [] : ['it does not say that committed work is missing'],
  );
}
