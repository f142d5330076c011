import type { Random } from '../harness/random.ts';
import { within } from '../harness/wait.ts';
import { type Finding, judge } from './judge.ts';
import type { Ledger } from './ledger.ts';
import { runLoad } from './load.ts';
import { look } from './look.ts';
import type { PoweredMachine } from './site.ts';

/** The power is cut at an acknowledgement between these two, counted from when the load began. */
const FEWEST_ACKNOWLEDGEMENTS = 50;
const MOST_ACKNOWLEDGEMENTS = 1_500;

const LONGEST_LOAD_MS = 90_000;

/**
 * Load on a machine that is on, until its power is cut: in the very moment in which an acknowledgement arrives, which is
 * when the least time has passed for anything that was promised and not done.
 */
export async function loadAndCut(machine: PoweredMachine, ledger: Ledger, random: Random): Promise<void> {
  const cut = new AbortController();
  const further = FEWEST_ACKNOWLEDGEMENTS + Math.floor(random() * (MOST_ACKNOWLEDGEMENTS - FEWEST_ACKNOWLEDGEMENTS));
  const powerless = new Promise<void>((resolve, reject) => {
    ledger.afterAcknowledgements(further, () => {
      cut.abort();
      machine.cutPower().then(resolve, reject);
    });
  });
  const load = runLoad({ connect: () => machine.connect(), ledger, random, cut: cut.signal });
  await within(LONGEST_LOAD_MS, `${further} acknowledgements and a power cut`, Promise.all([load, powerless]));
}

/** What the judge finds on a machine that is on. */
export async function judgeMachine(machine: PoweredMachine, ledger: Ledger): Promise<Finding[]> {
  using galley = machine.connect();
  return judge(ledger, await look(galley, ledger));
}
