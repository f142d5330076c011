import type { Random } from '../harness/random.ts';
import { Ledger } from './ledger.ts';
import { askAgain } from './look.ts';
import type { Report } from './report.ts';
import { judgeMachine, loadAndCut } from './round.ts';
import { PoweredMachine, type Site, seconds } from './site.ts';

const CUTS = 3;
/** Once the power goes again while the control plane recovers: at this part of the time that a start takes, or later. */
const EARLIEST_RECOVERY_CUT = 0.5;

/** As Galley is shipped: whatever was acknowledged is there after every power cut. */
export async function runWithSync(site: Site, report: Report, random: Random): Promise<void> {
  const ledger = new Ledger();
  await using machine = await PoweredMachine.create(site, 'with-sync');
  const firstBootMs = await machine.powerOn();
  console.log(`the control plane listens ${seconds(firstBootMs)} after power on`);
  for (let cut = 1; cut <= CUTS; cut++) {
    const before = ledger.acknowledged;
    await loadAndCut(machine, ledger, random);
    const acknowledged = ledger.acknowledged - before;
    if (cut === CUTS) {
      await machine.cutWhileStarting(firstBootMs * (EARLIEST_RECOVERY_CUT + random() * (1 - EARLIEST_RECOVERY_CUT)));
    }
    const bootMs = await machine.powerOn();
    const findings = await judgeMachine(machine, ledger);
    report.check(
      `power cut ${cut}: ${acknowledged} acknowledgements, ${ledger.ids.length} jobs in all; up again in ${seconds(bootMs)}`,
      findings.map(({ message }) => message),
    );
    using galley = machine.connect();
    const answers = [...(await askAgain(galley, ledger)), ...(await judgeMachine(machine, ledger))];
    report.check(
      `power cut ${cut}: the same submits again have the same answers`,
      answers.map(({ message }) => message),
    );
  }
}
