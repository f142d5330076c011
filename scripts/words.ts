/** What must not be committed because it is true on one machine only: its paths, and the hosts that it fetches from. */

interface Rule {
  readonly pattern: RegExp;
  readonly why: string;
}

/** Names that examples and tests may use for a user who does not exist. */
const EXAMPLE_USERS = ['alice', 'bob', 'carol', 'user', 'you', 'nobody', 'galley'];

/** A path starts a word: after a quote, a space, a bracket, `=` or `:`, or at the start of the line. */
const PATH_START = String.raw`(?<![\w.\-/}])`;

// Composed from parts, so that this file does not contain what it looks for.
const WORK = ['', 'work', ''].join('/');
const REGISTRY_HOSTS = [['registry', 'npmjs', 'org'].join('.'), ['registry', 'yarnpkg', 'com'].join('.')];

const RULES: readonly Rule[] = [
  { pattern: new RegExp(`${PATH_START}${WORK}`), why: "a path of one developer's machine" },
  {
    pattern: new RegExp(String.raw`${PATH_START}/(?:home|Users)/(?!(?:${EXAMPLE_USERS.join('|')})\b)[a-z][\w-]*`),
    why: `a home directory (examples use ${EXAMPLE_USERS.join(', ')})`,
  },
  { pattern: new RegExp(String.raw`${PATH_START}[A-Z]:\\Users\\`), why: 'a home directory' },
  {
    pattern: new RegExp(REGISTRY_HOSTS.map((host) => host.replaceAll('.', String.raw`\.`)).join('|')),
    why: 'the host of a package registry',
  },
  {
    pattern: /"resolved":\s*"https?:/,
    why: 'the host of a package registry (npm config omit-lockfile-registry-resolved)',
  },
];

/** One sentence with the line for each thing found; `ownRoot`, where the checkout stands, is refused too. */
export function checkWords(path: string, text: string, ownRoot?: string): string[] {
  return text.split('\n').flatMap((line, index) => {
    const found = RULES.filter(({ pattern }) => pattern.test(line)).map(({ why }) => why);
    if (found.length === 0 && ownRoot !== undefined && containsPath(line, ownRoot)) {
      found.push('the path of this checkout');
    }
    return found.map((why) => `${path}:${index + 1}: ${why}`);
  });
}

function containsPath(line: string, path: string): boolean {
  const before = new RegExp(`${PATH_START}$`);
  for (let at = line.indexOf(path); at >= 0; at = line.indexOf(path, at + 1)) {
    if (before.test(line.slice(0, at))) return true;
  }
  return false;
}
