import type { Random } from '../harness/random.ts';
import { Ledger } from './ledger.ts';
import { runBulkyLoad } from './load.ts';
import type { Report } from './report.ts';
import { between, cutAfter, judgeMachine } from './round.ts';
import { PoweredMachine, type Site, seconds } from './site.ts';

/** With 24 KiB a job, these are between one and one and a half of LevelDB's write buffers of 32 MiB. */
const FEWEST_ACKNOWLEDGEMENTS = 1_400;
const MOST_ACKNOWLEDGEMENTS = 2_000;

/** The power is cut while LevelDB writes a full memory table out, or shortly after it began a new log. */
export async function runWhileCompacting(site: Site, report: Report, random: Random): Promise<void> {
  const ledger = new Ledger();
  await using machine = await PoweredMachine.create(site, 'while-compacting');
  await machine.powerOn();
  await cutAfter(machine, ledger, between(random, FEWEST_ACKNOWLEDGEMENTS, MOST_ACKNOWLEDGEMENTS), (client) =>
    runBulkyLoad({ ...client, ledger, random }),
  );
  const characters = [...ledger.entries].reduce((sum, { request }) => sum + (request.command ?? []).join('').length, 0);
  const bootMs = await machine.powerOn();
  const findings = await judgeMachine(machine, ledger);
  report.check(
    `while compacting: ${ledger.acknowledged} acknowledgements, ${Math.round(characters / 1024 / 1024)} MiB; up again in ${seconds(bootMs)}`,
    findings.map(({ message }) => message),
  );
}
