import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Where one hierarchy is mounted and where in it this process sits. */
export interface Mount {
  readonly directory: string;
  /** This process's own control group as a path below `directory`. */
  readonly own: string;
}

/** The hierarchies of this machine: v1 by controller (co-mounted ones share a directory), v2 as one. */
export interface Hierarchies {
  readonly v1: ReadonlyMap<string, Mount>;
  readonly v2?: Mount;
}

const V1_CONTROLLERS = ['memory', 'cpu', 'cpuacct', 'pids'];

/** Octal escapes are how the kernel writes blanks and backslashes in mount points. */
function unescapeOctal(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** Below the mount, a bind mount or a container shows a subtree: its root is cut from the path. */
function below(path: string, root: string): string {
  if (root === '/') return path;
  return path === root || path.startsWith(`${root}/`) ? path.slice(root.length) || '/' : '/';
}

/**
 * Reads `/proc/self/mountinfo` and `/proc/self/cgroup` (cgroups(7)): for v1 the controllers are in the super block's
 * options and each has a line of its own, for v2 the line starts with `0::`.
 */
export function parseHierarchies(mountinfo: string, cgroup: string): Hierarchies {
  const paths = new Map<string, string>();
  for (const line of cgroup.split('\n')) {
    const match = /^\d+:([^:]*):(.*)$/.exec(line);
    if (match === null) continue;
    for (const controller of (match[1] ?? '').split(',')) paths.set(controller, match[2] ?? '/');
  }
  const v1 = new Map<string, Mount>();
  let v2: Mount | undefined;
  for (const line of mountinfo.split('\n')) {
    const separator = line.indexOf(' - ');
    if (separator < 0) continue;
    const [type, , options = ''] = line.slice(separator + 3).split(' ');
    const fields = line.slice(0, separator).split(' ');
    const root = unescapeOctal(fields[3] ?? '/');
    const directory = unescapeOctal(fields[4] ?? '');
    if (type === 'cgroup2' && v2 === undefined) v2 = { directory, own: below(paths.get('') ?? '/', root) };
    if (type !== 'cgroup') continue;
    for (const controller of options.split(',')) {
      if (!V1_CONTROLLERS.includes(controller) || v1.has(controller)) continue;
      v1.set(controller, { directory, own: below(paths.get(controller) ?? '/', root) });
    }
  }
  return v2 === undefined ? { v1 } : { v1, v2 };
}

export function detectHierarchies(procDirectory = '/proc/self'): Hierarchies {
  return parseHierarchies(
    readFileSync(join(procDirectory, 'mountinfo'), 'utf8'),
    readFileSync(join(procDirectory, 'cgroup'), 'utf8'),
  );
}
