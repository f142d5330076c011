import { hostname } from 'node:os';
import { describe, expect, it } from 'vitest';
import { resolveIdentity } from './identity.ts';
import {
  type Account,
  LOOKUP_LIFETIME_MS,
  lookUpAccount,
  parsePasswd,
  rememberLookups,
  UNKNOWN_LIFETIME_MS,
  UserError,
} from './lookup.ts';

const account = (name: string, uid: number): Account => ({
  name,
  uid,
  gid: uid,
  groups: [uid],
  home: `/home/${name}`,
  shell: '/bin/sh',
});

function knowing(...accounts: Account[]): (name: string) => Promise<Account> {
  return (name) => {
    const found = accounts.find((one) => one.name === name || `${one.uid}` === name);
    return found === undefined
      ? Promise.reject(new UserError('unknown', `does not know user ${name}`))
      : Promise.resolve(found);
  };
}

describe('an account', () => {
  it('is what the node’s own name services say', async () => {
    const root = await lookUpAccount('root');
    expect(root).toMatchObject({ name: 'root', uid: 0, gid: 0 });
    expect(root.groups).toContain(0);
  });

  it('that the node does not know is a fault that names both', async () => {
    await expect(lookUpAccount('no-such-user')).rejects.toMatchObject({
      code: 'unknown',
      message: `node ${hostname()} does not know user no-such-user`,
    });
  });

  it.each(['', '-x', 'a:b', 'a b', 'a\nb', '../x', 'x'.repeat(80)])('%j is no name', async (name) => {
    await expect(lookUpAccount(name)).rejects.toMatchObject({ code: 'malformed' });
  });

  it('is read from passwd(5), with the defaults for empty fields', () => {
    expect(parsePasswd('alice:x:1000:1001:Alice,,,:/home/alice:/bin/zsh\n')).toEqual({
      name: 'alice',
      uid: 1000,
      gid: 1001,
      home: '/home/alice',
      shell: '/bin/zsh',
    });
    expect(parsePasswd('bob:x:1:2:::')).toMatchObject({ home: '/', shell: '/bin/sh' });
    expect(parsePasswd('')).toBeUndefined();
    expect(parsePasswd('x:x:one:2::/:/bin/sh')).toBeUndefined();
  });
});

describe('remembered answers', () => {
  it('serve everybody who asks meanwhile, and only while they are fresh', async () => {
    let asked = 0;
    let now = 0;
    const lookUp = rememberLookups(
      (name) => {
        asked++;
        return Promise.resolve(account(name, 1));
      },
      () => now,
    );
    await Promise.all([lookUp('alice'), lookUp('alice'), lookUp('bob')]);
    expect(asked).toBe(2);
    now = LOOKUP_LIFETIME_MS;
    await lookUp('alice');
    expect(asked).toBe(3);
  });

  it('forget an unknown name sooner, and that nobody answered at once', async () => {
    let known: Account[] = [];
    let now = 0;
    let answers = true;
    const lookUp = rememberLookups(
      (name) => (answers ? knowing(...known)(name) : Promise.reject(new UserError('no_answer', 'silence'))),
      () => now,
    );
    await expect(lookUp('alice')).rejects.toThrow('does not know');
    known = [account('alice', 5)];
    await expect(lookUp('alice')).rejects.toThrow('does not know');
    now = UNKNOWN_LIFETIME_MS;
    answers = false;
    await expect(lookUp('alice')).rejects.toThrow('silence');
    answers = true;
    expect((await lookUp('alice')).uid).toBe(5);
  });
});

describe('whom a job runs as', () => {
  const root = account('root', 0);
  const alice = account('alice', 1000);
  const nobody = account('nobody', 65_534);
  const galley = account('galley-job', 900);

  it('is the user it names, where the agent is root', async () => {
    const options = { agentUid: 0, allowRoot: false, lookUp: knowing(root, alice, nobody) };
    expect(await resolveIdentity('alice', options)).toEqual({ account: alice, switched: true });
  });

  it('is the first default that exists for root and for nobody in particular, unless root is allowed', async () => {
    const options = { agentUid: 0, allowRoot: false, lookUp: knowing(root, nobody) };
    expect((await resolveIdentity(undefined, options)).account).toBe(nobody);
    expect((await resolveIdentity('root', options)).account).toBe(nobody);
    expect((await resolveIdentity('0', { ...options, lookUp: knowing(root, nobody, galley) })).account).toBe(galley);
    expect((await resolveIdentity('root', { ...options, allowRoot: true })).account).toBe(root);
  });

  it('is never somebody else for an unknown name', async () => {
    const options = { agentUid: 0, allowRoot: true, lookUp: knowing(root, nobody) };
    await expect(resolveIdentity('alice', options)).rejects.toMatchObject({ code: 'unknown' });
  });

  it('is the agent itself where that is not root, and nobody else', async () => {
    const options = { agentUid: 1000, allowRoot: false, lookUp: knowing(root, alice) };
    expect(await resolveIdentity(undefined, options)).toEqual({ account: alice, switched: false });
    expect((await resolveIdentity('alice', options)).switched).toBe(false);
    await expect(resolveIdentity('bob', options)).rejects.toMatchObject({ code: 'not_permitted' });
  });

  it('needs no entry for the agent’s own number', async () => {
    const { account: own } = await resolveIdentity(undefined, { agentUid: 4242, allowRoot: false, lookUp: knowing() });
    expect(own).toMatchObject({ name: '4242', uid: 4242 });
  });
});
