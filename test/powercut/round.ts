import type { Random } from '../harness/random.ts';
import { within } from '../harness/wait.ts';
import { type Finding, judge } from './judge.ts';
import type { Ledger } from './ledger.ts';
import { type ClientOptions, runLoad } from './load.ts';
import { look } from './look.ts';
import type { PoweredMachine } from './site.ts';

/** The power is cut at an acknowledgement between these two, counted from when the load began. */
const FEWEST_ACKNOWLEDGEMENTS = 50;
const MOST_ACKNOWLEDGEMENTS = 1_500;

const LONGEST_LOAD_MS = 240_000;

/**
 * Load on a machine that is on, until its power is cut: in the very moment in which an acknowledgement arrives, which is
 * when the least time has passed for anything that was promised and not done.
 */
export async function loadAndCut(machine: PoweredMachine, ledger: Ledger, random: Random): Promise<void> {
  const further = between(random, FEWEST_ACKNOWLEDGEMENTS, MOST_ACKNOWLEDGEMENTS);
  await cutAfter(machine, ledger, further, (client) => runLoad({ ...client, ledger, random }));
}

/** Any load until its power is cut, so many acknowledgements after it began. */
export async function cutAfter(
  machine: PoweredMachine,
  ledger: Ledger,
  further: number,
  load: (client: ClientOptions) => Promise<void>,
): Promise<void> {
  const cut = new AbortController();
  const powerless = new Promise<void>((resolve, reject) => {
    ledger.afterAcknowledgements(further, () => {
      cut.abort();
      machine.cutPower().then(resolve, reject);
    });
  });
  const loaded = load({ connect: () => machine.connect(), cut: cut.signal });
  await within(LONGEST_LOAD_MS, `${further} acknowledgements and a power cut`, Promise.all([loaded, powerless]));
}

/** A whole number, `least` included and `most` excluded. */
export function between(random: Random, least: number, most: number): number {
  return least + Math.floor(random() * (most - least));
}

/** What the judge finds on a machine that is on. */
export async function judgeMachine(machine: PoweredMachine, ledger: Ledger): Promise<Finding[]> {
  using galley = machine.connect();
  return judge(ledger, await look(galley, ledger));
}
