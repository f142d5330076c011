/**
 * Who may know whom: the arrows of the repository's layout as data, and the check of one import against them.
 * `check-architecture.ts` runs it over the sources; `CONTRIBUTING.md` draws it for people.
 */
import { posix } from 'node:path';
import { findImports, type Import } from './imports.ts';

/** A part of the repository: a folder, and what its files may import beside itself. */
interface Part {
  readonly folder: string;
  /** Folders of other parts. */
  readonly knows: readonly string[];
  /** Folders of which it may import types, which are gone at run time. */
  readonly types?: readonly string[];
  /** Folders that it may load when asked to, with `await import(…)`, so that they cost nothing until then. */
  readonly loads?: readonly string[];
  /** Packages outside the repository; undefined: any that its package.json declares. */
  readonly packages?: readonly string[];
  /** Whether it may use Node's built-in modules (types are always allowed). */
  readonly builtins: boolean;
}

/** What the services use, whoever they serve. */
const BEHIND_A_LISTENER = ['core', 'turn', 'store', 'logs', 'security']
  .map((folder) => `control-plane/${folder}`)
  .concat('proto');

/**
 * The longest matching folder decides. `control-plane` itself is what wires the parts together: it knows all of them,
 * and none of them knows it.
 */
export const PARTS: readonly Part[] = [
  { folder: 'proto', knows: [], builtins: true },
  { folder: 'control-plane', knows: ['proto', 'control-plane/*'], builtins: true },
  {
    folder: 'control-plane/core',
    knows: ['proto'],
    // A turn returns the changes that the store commits: the shape is shared, the store is not.
    types: ['control-plane/store'],
    packages: ['@bufbuild/protobuf'],
    builtins: false,
  },
  { folder: 'control-plane/store', knows: ['proto', 'control-plane/core'], builtins: true },
  { folder: 'control-plane/turn', knows: ['proto', 'control-plane/core', 'control-plane/store'], builtins: true },
  { folder: 'control-plane/security', knows: ['proto', 'control-plane/core', 'control-plane/store'], builtins: true },
  { folder: 'control-plane/logs', knows: ['proto', 'control-plane/core', 'control-plane/store'], builtins: true },
  // Handlers know the shape of a call; the listener knows the handlers.
  { folder: 'control-plane/agents', knows: BEHIND_A_LISTENER, types: ['control-plane/server'], builtins: true },
  { folder: 'control-plane/api', knows: BEHIND_A_LISTENER, types: ['control-plane/server'], builtins: true },
  {
    folder: 'control-plane/server',
    knows: [...BEHIND_A_LISTENER, 'control-plane/agents', 'control-plane/api'],
    builtins: true,
  },
  { folder: 'control-plane/aws', knows: ['proto', 'control-plane/api'], builtins: true },
  { folder: 'agent', knows: ['proto'], builtins: true },
  { folder: 'sdk', knows: ['proto'], builtins: true },
  // The command line starts servers and agents (`galley server`, `galley agent`, `galley up`), and is not a server.
  { folder: 'sdk/cli', knows: ['proto', 'sdk'], loads: ['control-plane', 'agent'], builtins: true },
  { folder: 'test', knows: ['proto', 'control-plane', 'control-plane/*', 'agent', 'sdk', 'sdk/*'], builtins: true },
  { folder: 'scripts', knows: [], builtins: true },
];

/** Where LevelDB is known; everything else knows the interfaces before it. */
const LEVEL_USERS = ['control-plane/store', 'control-plane/logs', 'test'];

/** Packages that belong to one part alone, whatever the others declare. */
const OWNED_PACKAGES: Readonly<Record<string, readonly string[]>> = {
  level: LEVEL_USERS,
  'classic-level': LEVEL_USERS,
  systeminformation: ['agent'],
  commander: ['sdk/cli'],
};

/** What the check needs to know of a workspace: its folder, and what its package.json declares. */
export interface Workspace {
  readonly name: string;
  readonly folder: string;
  readonly dependencies: ReadonlySet<string>;
}

/** Tests, and the contract suites and helpers that only tests import; they may use the root's development packages. */
const TEST_CODE = /(?:\.test|\/contract|\/testing[\w-]*|\/testing\/[^/]+)\.ts$/;

/** Whether a file is there only for tests, so that no bundle needs it. */
export function isTestCode(path: string): boolean {
  return TEST_CODE.test(path);
}

/** One arrow that points the wrong way, as a sentence with the place. */
export function checkFile(path: string, source: string, workspaces: readonly Workspace[]): string[] {
  const part = partOf(path);
  if (part === undefined) return [];
  const isTest = isTestCode(path);
  return findImports(source).flatMap((found) => {
    const problem = checkImport(path, part, found, workspaces, isTest);
    return problem === undefined ? [] : [`${path}:${found.line}: ${problem}`];
  });
}

function checkImport(
  path: string,
  part: Part,
  found: Import,
  workspaces: readonly Workspace[],
  isTest: boolean,
): string | undefined {
  const target = resolveWithin(path, found.specifier, workspaces);
  if (target !== undefined) {
    // Tests beside their source set up what they need of their own workspace; what crosses workspaces is in test/.
    if (isTest && target.split('/')[0] === path.split('/')[0]) return undefined;
    return checkArrow(path, part, found, target);
  }
  if (found.specifier.startsWith('.')) return `'${found.specifier}' leads out of the repository's parts`;

  if (found.specifier.startsWith('node:')) {
    const allowed = part.builtins || isTest || found.kind === 'type';
    return allowed ? undefined : `${part.folder} does no I/O: '${found.specifier}' may not be imported here`;
  }
  return checkPackage(part, found, workspaces, isTest);
}

function checkArrow(path: string, part: Part, found: Import, target: string): string | undefined {
  const to = partOf(target);
  if (to === undefined || to === part) return undefined;
  const also = { static: [], type: part.types ?? [], dynamic: part.loads ?? [] }[found.kind];
  const allowed = [...part.knows, ...also];
  if (allowed.some((pattern) => covers(pattern, to.folder))) return undefined;
  const how = howElse(part, to);
  return `${part.folder} may import ${to.folder} ${how}: '${found.specifier}' in ${posix.basename(path)}`;
}

function howElse(part: Part, to: Part): string {
  if (part.loads?.some((pattern) => covers(pattern, to.folder))) {
    return 'only with a dynamic import, so that it loads when asked for';
  }
  if (part.types?.some((pattern) => covers(pattern, to.folder))) return 'only for its types';
  return `not at all (it may import ${[part.folder, ...part.knows].join(', ')})`;
}

function checkPackage(
  part: Part,
  found: Import,
  workspaces: readonly Workspace[],
  isTest: boolean,
): string | undefined {
  const name = packageName(found.specifier);
  const owners = OWNED_PACKAGES[name];
  if (owners !== undefined && !owners.some((owner) => part.folder === owner || part.folder.startsWith(`${owner}/`))) {
    return `'${name}' belongs to ${owners.join(' and ')}; ${part.folder} may not import it`;
  }
  if (isTest) return undefined;
  if (part.packages !== undefined && !part.packages.includes(name) && found.kind !== 'type') {
    return `${part.folder} may import only ${part.packages.join(', ')}, not '${name}'`;
  }
  const workspace = workspaces.find(({ folder }) => part.folder === folder || part.folder.startsWith(`${folder}/`));
  if (workspace !== undefined && !workspace.dependencies.has(name)) {
    return `'${name}' is not a dependency in ${workspace.folder}/package.json`;
  }
  return undefined;
}

/** Path of the imported file within the repository, or undefined where it is a package or a built-in module. */
function resolveWithin(path: string, specifier: string, workspaces: readonly Workspace[]): string | undefined {
  if (specifier.startsWith('.')) {
    const target = posix.join(posix.dirname(path), specifier);
    return target.startsWith('..') ? undefined : target;
  }
  const workspace = workspaces.find(({ name }) => specifier === name || specifier.startsWith(`${name}/`));
  if (workspace === undefined) return undefined;
  return `${workspace.folder}/${specifier.slice(workspace.name.length + 1) || 'index.ts'}`;
}

function partOf(path: string): Part | undefined {
  return PARTS.filter(({ folder }) => path.startsWith(`${folder}/`)).sort(
    (a, b) => b.folder.length - a.folder.length,
  )[0];
}

/** `a/*` covers the folders below `a`, `a` only itself. */
function covers(pattern: string, folder: string): boolean {
  return pattern.endsWith('/*') ? folder.startsWith(pattern.slice(0, -1)) : folder === pattern;
}

/** `@scope/name/deep` and `name/deep` without what follows the name. */
function packageName(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}
