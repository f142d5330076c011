import { setTimeout as sleep } from 'node:timers/promises';
import {
  claimForAgent,
  type ExitRecord,
  isAlive,
  type ProcessIdentity,
  readClaim,
  readExit,
  revoke,
} from '../launcher/records.ts';

/** What has become of an attempt in this boot, read from its directory. */
export type Settled =
  | { readonly state: 'never_claimed' }
  | { readonly state: 'running'; readonly supervisor: ProcessIdentity }
  | { readonly state: 'over'; readonly exit: ExitRecord }
  | { readonly state: 'supervisor_dead' };

/** A claim takes one write; after this long its writer is stopped or dead. */
const CLAIM_PATIENCE_MS = 500;
const LOOK_MS = 5;

/**
 * Decides, once and for all, who has an attempt. Claims it if nobody does; then no supervisor can start it any more.
 */
export async function settle(directory: string): Promise<Settled> {
  if (claimForAgent(directory)) return { state: 'never_claimed' };
  let claim = readClaim(directory);
  for (let waited = 0; claim.by === 'somebody'; waited += LOOK_MS) {
    if (waited >= CLAIM_PATIENCE_MS) {
      // It looks for the revocation after writing its claim; we look for the claim after writing the revocation.
      revoke(directory);
      claim = readClaim(directory);
      if (claim.by === 'somebody') return { state: 'never_claimed' };
      break;
    }
    await sleep(LOOK_MS);
    claim = readClaim(directory);
  }
  if (claim.by !== 'supervisor') return { state: 'never_claimed' };
  return supervised(directory, claim.supervisor);
}

/** For a claimed attempt. The record is read again after the supervisor was seen dead: it is written before. */
export function supervised(directory: string, supervisor: ProcessIdentity): Settled {
  const early = readExit(directory);
  if (early !== undefined) return { state: 'over', exit: early };
  if (isAlive(supervisor)) return { state: 'running', supervisor };
  const exit = readExit(directory);
  return exit === undefined ? { state: 'supervisor_dead' } : { state: 'over', exit };
}
