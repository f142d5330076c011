import { existsSync, readdirSync, readFileSync } from 'node:fs';
import type { Profiler } from 'node:inspector';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rounded } from '../stats.ts';
import type { ProfileSummary, Share } from '../types.ts';

const LONGEST_LIST = 25;
const EXTENSION = '.cpuprofile';
/** What V8 calls the time that is nobody's. */
const IDLE = new Set(['(idle)', '(root)']);

/** Where the time of each profiled process went. */
export function summariseProfiles(directory: string): Record<string, ProfileSummary> {
  const files = readdirSync(directory).filter((name) => name.endsWith(EXTENSION));
  return Object.fromEntries(
    files.map((name) => [
      basename(name, EXTENSION),
      summarise(JSON.parse(readFileSync(join(directory, name), 'utf8')) as Profiler.Profile),
    ]),
  );
}

function summarise(profile: Profiler.Profile): ProfileSummary {
  const spentUs = new Map<number, number>();
  profile.samples?.forEach((node, at) => {
    spentUs.set(node, (spentUs.get(node) ?? 0) + (profile.timeDeltas?.[at] ?? 0));
  });
  const parts = new Map<string, number>();
  const functions = new Map<string, number>();
  const callers = new Map(
    profile.nodes.flatMap((node) => (node.children ?? []).map((child) => [child, node.callFrame])),
  );
  let busyUs = 0;
  for (const { id, callFrame: own } of profile.nodes) {
    // Native code of a package or of Node has neither a name nor a place: it is its caller's.
    const callFrame = own.functionName === '' && own.url === '' ? (callers.get(id) ?? own) : own;
    const us = spentUs.get(id) ?? 0;
    if (us <= 0 || IDLE.has(callFrame.functionName)) continue;
    busyUs += us;
    const source = sourceOf(callFrame);
    const name = callFrame.functionName === '' ? '(anonymous)' : callFrame.functionName;
    add(parts, partOf(source, name), us);
    add(functions, source === '' ? name : `${name} ${source}`, us);
  }
  return { busyMs: rounded(busyUs / 1000), parts: shares(parts, busyUs), functions: shares(functions, busyUs) };
}

function add(sums: Map<string, number>, name: string, us: number): void {
  sums.set(name, (sums.get(name) ?? 0) + us);
}

function shares(sums: ReadonlyMap<string, number>, allUs: number): Share[] {
  return [...sums]
    .sort((left, right) => right[1] - left[1])
    .slice(0, LONGEST_LIST)
    .map(([name, us]) => ({ name, percent: Math.round((us / allUs) * 1000) / 10 }));
}

/** The file that a function was written in: the bundle names it in a comment above each file's code. */
function sourceOf({ url, lineNumber }: { readonly url: string; readonly lineNumber: number }): string {
  if (url === '' || url.startsWith('node:')) return url;
  if (!url.startsWith('file:')) return basename(url);
  const path = fileURLToPath(url);
  const origins = originsOf(path);
  return origins.length === 0 ? path : (origins.findLast(({ line }) => line <= lineNumber)?.source ?? basename(path));
}

interface Origin {
  readonly line: number;
  readonly source: string;
}

const ORIGIN = /^\s*\/\/ ((?:[\w@.-]+\/)+[\w.-]+\.[cm]?[jt]s)$/;
const known = new Map<string, readonly Origin[]>();

function originsOf(path: string): readonly Origin[] {
  let origins = known.get(path);
  if (origins === undefined) {
    const lines = path.endsWith('.mjs') && existsSync(path) ? readFileSync(path, 'utf8').split('\n') : [];
    origins = lines.flatMap((text, line) => {
      const source = ORIGIN.exec(text)?.[1];
      return source === undefined ? [] : [{ line, source }];
    });
    known.set(path, origins);
  }
  return origins;
}

/** The folder of ours, the package, or Node's own module. */
function partOf(source: string, name: string): string {
  if (source === '') return name.startsWith('(') ? name : 'native code';
  if (source.startsWith('node:')) return source.split('/').slice(0, 2).join('/');
  const [, module] = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(source) ?? [];
  return module ?? source.split('/').slice(0, 2).join('/');
}
