import { hostname } from 'node:os';
import type { Account, Lookup } from './lookup.ts';
import { UserError } from './lookup.ts';

/** Whom jobs of root, and jobs that name nobody, run as on a node whose agent is root: the first that exists. */
export const DEFAULT_ACCOUNTS = ['galley-job', 'nobody'] as const;
/** Where programs are looked for when the job's environment has no PATH of its own. */
export const DEFAULT_PATH = '/usr/local/bin:/usr/bin:/bin';
/** The umask that every job starts with. */
export const JOB_UMASK = '022';

/** Whom one job runs as, decided before anything of it is started. */
export interface Identity {
  readonly account: Account;
  /** False where the agent is not root: the job is the agent's own user and nothing is switched. */
  readonly switched: boolean;
}

export interface IdentityOptions {
  /** The agent's own user id. */
  readonly agentUid: number;
  /** Lets a job that asks for root run as root. */
  readonly allowRoot: boolean;
  readonly lookUp: Lookup;
}

/**
 * Decides whom a job runs as. Throws {@link UserError}, always a fault of this node: a user that it does not know is
 * never replaced by another one.
 */
export async function resolveIdentity(user: string | undefined, options: IdentityOptions): Promise<Identity> {
  const { agentUid, lookUp } = options;
  if (agentUid !== 0) {
    const own = await ownAccount(agentUid, lookUp);
    if (user === undefined || user === own.name || user === `${agentUid}`) return { account: own, switched: false };
    throw new UserError(
      'not_permitted',
      `node ${hostname()} cannot run a job as ${user}: its agent runs as ${own.name}, not as root`,
    );
  }
  const asked = user === undefined ? undefined : await lookUp(user);
  if (asked !== undefined && (asked.uid !== 0 || options.allowRoot)) return { account: asked, switched: true };
  return { account: await defaultAccount(lookUp), switched: true };
}

/** In a container the agent's own user often has no entry anywhere; it is still whom the jobs run as. */
async function ownAccount(uid: number, lookUp: Lookup): Promise<Account> {
  try {
    return await lookUp(`${uid}`);
  } catch (error) {
    if (!(error instanceof UserError) || error.code !== 'unknown') throw error;
    const gid = process.getgid?.() ?? uid;
    return { name: `${uid}`, uid, gid, groups: [gid], home: process.env['HOME'] ?? '/', shell: '/bin/sh' };
  }
}

async function defaultAccount(lookUp: Lookup): Promise<Account> {
  for (const name of DEFAULT_ACCOUNTS) {
    try {
      return await lookUp(name);
    } catch (error) {
      if (!(error instanceof UserError) || error.code !== 'unknown') throw error;
    }
  }
  throw new UserError('unknown', `node ${hostname()} knows none of the default users ${DEFAULT_ACCOUNTS.join(', ')}`);
}

/** What login(1) would set; the job's own environment overrides it. */
export function accountEnvironment(account: Account): Record<string, string> {
  return {
    HOME: account.home,
    USER: account.name,
    LOGNAME: account.name,
    SHELL: account.shell,
    PATH: DEFAULT_PATH,
  };
}
