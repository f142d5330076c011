import { hostname } from 'node:os';
import { execa } from 'execa';

/** An account as this node knows it. */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  /** Primary and supplementary groups. */
  readonly groups: readonly number[];
  readonly home: string;
  readonly shell: string;
}

/** A directory service that does not answer (LDAP, NIS) holds up one lookup for this long and nothing else. */
export const LOOKUP_DEADLINE_MS = 5_000;
/** How long an answer is taken for true. */
export const LOOKUP_LIFETIME_MS = 60_000;
/** A name that is not known may be added any moment; asking for it at every start would cost more than the start. */
export const UNKNOWN_LIFETIME_MS = 5_000;
const MAXIMUM_REMEMBERED = 1_000;
/** What useradd(8) and Active Directory bridges give out; the leading letter keeps a name from being read as an option. */
const NAME = /^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}\$?$/;

export type UserErrorCode = 'malformed' | 'unknown' | 'no_answer' | 'not_permitted';

/** A fault of this node, not of the job: the message names the user and the node. */
export class UserError extends Error {
  readonly code: UserErrorCode;

  constructor(code: UserErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'UserError';
    this.code = code;
  }
}

export type Lookup = (name: string) => Promise<Account>;

/** One line of passwd(5). */
export function parsePasswd(line: string): Omit<Account, 'groups'> | undefined {
  const [name, , uid, gid, , home, shell] = line.trimEnd().split(':');
  if (name === undefined || home === undefined || shell === undefined) return undefined;
  if (!/^\d+$/.test(uid ?? '') || !/^\d+$/.test(gid ?? '')) return undefined;
  return { name, uid: Number(uid), gid: Number(gid), home: home || '/', shell: shell || '/bin/sh' };
}

/**
 * Looks an account up through the node's own name services, in processes apart that are killed at a deadline:
 * a library call would hang the agent together with a dead directory server.
 */
export async function lookUpAccount(name: string): Promise<Account> {
  const node = hostname();
  if (!NAME.test(name)) {
    throw new UserError('malformed', `user ${JSON.stringify(name)} is not the name of an account (node ${node})`);
  }
  const ask = (file: string, args: string[]) =>
    execa(file, args, { reject: false, timeout: LOOKUP_DEADLINE_MS, killSignal: 'SIGKILL', stdin: 'ignore' });
  const [passwd, groups] = await Promise.all([ask('getent', ['passwd', '--', name]), ask('id', ['-G', '--', name])]);
  if (passwd.timedOut || groups.timedOut) {
    throw new UserError('no_answer', `node ${node} could not look up user ${name} within ${LOOKUP_DEADLINE_MS} ms`);
  }
  const entry = passwd.exitCode === 0 ? parsePasswd(passwd.stdout.split('\n')[0] ?? '') : undefined;
  if (entry === undefined || groups.exitCode !== 0) {
    throw new UserError('unknown', `node ${node} does not know user ${name}`);
  }
  return { ...entry, groups: groups.stdout.trim().split(/\s+/).map(Number) };
}

/** Remembers answers (no answer is none), and asks once for many who ask at the same time. */
export function rememberLookups(lookUp: Lookup, now: () => number = () => performance.now()): Lookup {
  const remembered = new Map<string, { until: number; account: Promise<Account> }>();
  return (name) => {
    const known = remembered.get(name);
    if (known !== undefined && known.until > now()) return known.account;
    const account = lookUp(name);
    if (remembered.size >= MAXIMUM_REMEMBERED) remembered.clear();
    remembered.set(name, { until: now() + LOOKUP_LIFETIME_MS, account });
    account.catch((error: unknown) => {
      const unknown = error instanceof UserError && error.code === 'unknown';
      if (unknown) remembered.set(name, { until: now() + UNKNOWN_LIFETIME_MS, account });
      else remembered.delete(name);
    });
    return account;
  };
}
