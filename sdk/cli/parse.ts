import { InvalidArgumentError } from 'commander';
import type { Position } from '../events.ts';
import type { ExitRule, MountRequest } from '../submit-request.ts';

// Values of options. Commander puts the option and the value received before these sentences.

const SIZE_FACTORS: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 1024,
  m: 1024 ** 2,
  g: 1024 ** 3,
  t: 1024 ** 4,
  kib: 1024,
  mib: 1024 ** 2,
  gib: 1024 ** 3,
  tib: 1024 ** 4,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
};

/** Bytes: `512m`, `2g`, `1GiB` are binary; `2GB` is decimal; a number alone is bytes. */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([a-zA-Z]*)$/.exec(text.trim());
  const factor = SIZE_FACTORS[match?.[2]?.toLowerCase() ?? '?'];
  const bytes = Math.round(Number(match?.[1]) * (factor ?? Number.NaN));
  if (!Number.isSafeInteger(bytes)) throw new InvalidArgumentError('A size looks like 512m, 2g or 1GiB.');
  return bytes;
}

/** The least memory of a job, in bytes (the contract's). */
const MIN_MEMORY_BYTES = 4 * 1024 * 1024;

/** As `parseSize`; catches the missing unit. */
export function parseMemory(text: string): number {
  const bytes = parseSize(text);
  if (bytes >= MIN_MEMORY_BYTES) return bytes;
  const meant = /^\d+$/.test(text.trim()) ? ` Without a unit it is bytes; did you mean ${text.trim()}m?` : '';
  throw new InvalidArgumentError(`A job needs at least 4 MiB, this is ${bytes} bytes.${meant}`);
}

/** vCPUs: `2`, `0.5`, `250m`. */
export function parseCpus(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(m?)$/.exec(text.trim());
  const milli = Math.round(Number(match?.[1]) * (match?.[2] === 'm' ? 1 : 1000));
  if (!(milli >= 1 && milli <= 1_000_000_000)) {
    throw new InvalidArgumentError('vCPUs look like 2, 0.5 or 250m, from 1m (a thousandth) to 1000000.');
  }
  return milli / 1000;
}

const DURATION_MS: Readonly<Record<string, number>> = { ms: 1, s: 1e3, m: 60e3, h: 3600e3, d: 86400e3, w: 604800e3 };

/** Milliseconds: `90s`, `5m`, `1h30m`, `2d`, `500ms`; a number alone is seconds. */
export function parseDuration(text: string): number {
  const trimmed = text.trim();
  if (/^\d+(\.\d+)?$/.test(trimmed)) return Number(trimmed) * 1000;
  if (!/^(\d+(\.\d+)?(ms|[smhdw]))+$/.test(trimmed)) {
    throw new InvalidArgumentError('A duration looks like 90s, 5m, 1h30m or 2d.');
  }
  let total = 0;
  for (const [, number, unit] of trimmed.matchAll(/(\d+(?:\.\d+)?)(ms|[smhdw])/g)) {
    total += Number(number) * (DURATION_MS[unit ?? ''] ?? 0);
  }
  return total;
}

/** Whole seconds, at least one. */
export function parseSeconds(text: string): number {
  const seconds = Math.ceil(parseDuration(text) / 1000);
  if (seconds < 1) throw new InvalidArgumentError('It must be at least one second.');
  return seconds;
}

/** A point in time as Unix ms: a date (`2026-11-20`, `2026-11-20T14:00`), or a duration before now (`7d`). */
export function parseSince(text: string, nowMs = Date.now()): number {
  const trimmed = text.trim();
  if (/^\d{4}-\d{2}-\d{2}/.test(trimmed)) {
    const ms = Date.parse(trimmed.length === 10 ? `${trimmed}T00:00` : trimmed);
    if (!Number.isNaN(ms)) return ms;
  } else if (/^[\d.]+(ms|[smhdw])/.test(trimmed)) {
    return Math.round(nowMs - parseDuration(trimmed));
  }
  throw new InvalidArgumentError('A time looks like 7d (so long ago), 2026-11-20 or 2026-11-20T14:00.');
}

/** A place in the history of the control plane: `1.2345`, epoch and sequence. */
export function parsePosition(text: string): Position {
  const match = /^(\d{1,15})\.(\d{1,15})$/.exec(text.trim());
  if (match !== null) return { epoch: Number(match[1]), sequence: Number(match[2]) };
  throw new InvalidArgumentError('A position looks like 1.2345: epoch and sequence, as `galley events` prints it.');
}

/** A whole number between two bounds. */
export function parseInteger(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text.trim()) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
  };
}

type Pairs = Readonly<Record<string, string>>;

/** Collects `name=value`; a later one wins. */
export function collectPairs(text: string, before: Pairs = {}): Pairs {
  const at = text.indexOf('=');
  if (at <= 0) throw new InvalidArgumentError('It looks like name=value.');
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

/** Collects `NAME=value`; `NAME` alone takes the value that it has here. */
export function collectEnvironment(env: NodeJS.ProcessEnv): (text: string, before?: Pairs) => Pairs {
  return (text, before = {}) => {
    if (text.includes('=')) return collectPairs(text, before);
    const value = env[text];
    if (value === undefined) throw new InvalidArgumentError(`${text} is not set here; give it as ${text}=value.`);
    return { ...before, [text]: value };
  };
}

type Counts = Readonly<Record<string, number>>;

/** Collects `gpu=1`. */
export function collectCounts(text: string, before: Counts = {}): Counts {
  const match = /^([a-z][a-z0-9_./-]{0,63})=(\d{1,10})$/.exec(text);
  const value = Number(match?.[2]);
  if (match?.[1] === undefined || value < 1 || value > 1_000_000_000) {
    throw new InvalidArgumentError('A named resource looks like gpu=1: a lower-case name and a count from 1.');
  }
  return { ...before, [match[1]]: value };
}

/** `100` children; the indices `1-96:2` or `1,5,7-9`; `%10` behind either: so many at once. */
export function parseArray(text: string): { size?: number; indices?: string; concurrency?: number } {
  const match = /^(?:(\d+)|([\d,:-]+))(?:%(\d+))?$/.exec(text.trim());
  const [size, indices, most] = [match?.[1], match?.[2], match?.[3]];
  if (match === null || size === '0' || most === '0') {
    throw new InvalidArgumentError(
      'An array looks like 100 (children), 1-96:2 or 1,5,7-9 (indices); %10 behind it limits it.',
    );
  }
  return {
    ...(size === undefined ? {} : { size: Number(size) }),
    ...(indices === undefined ? {} : { indices }),
    ...(most === undefined ? {} : { concurrency: Number(most) }),
  };
}

/** Collects values of an option that is given several times, or with commas between them. */
export function collectList(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, ...text.split(',').filter((item) => item !== '')];
}

/** Collects `/host:/container`, `/host:/container:ro` and, for a scratch directory, `/container`. */
export function collectMounts(text: string, before: readonly MountRequest[] = []): readonly MountRequest[] {
  const parts = text.split(':');
  const readOnly = parts.at(-1) === 'ro';
  if (readOnly || parts.at(-1) === 'rw') parts.pop();
  const [first = '', second, ...more] = parts;
  const containerPath = second ?? first;
  if (!first.startsWith('/') || !containerPath.startsWith('/') || more.length > 0) {
    throw new InvalidArgumentError('A volume looks like /on/the/node:/in/the/container, with :ro to read only.');
  }
  return [
    ...before,
    { containerPath, ...(second === undefined ? {} : { hostPath: first }), ...(readOnly ? { readOnly } : {}) },
  ];
}

const EXIT_RULE_HELP =
  'A rule looks like action=exit,onExitCode=2: action (retry or exit), and onExitCode, onReason or onStatusReason.';
const PATTERNS = ['onExitCode', 'onReason', 'onStatusReason'] as const;

/** Collects rules of AWS's `evaluateOnExit`, in AWS's shorthand. */
export function collectExitRules(text: string, before: readonly ExitRule[] = []): readonly ExitRule[] {
  // A comma begins the next part only where a name follows: reasons hold commas too.
  const parts = text.split(/,(?=[A-Za-z]+=)/).map((part) => [part.split('=', 1)[0] ?? '', part] as const);
  let action: ExitRule['action'] | undefined;
  const patterns: { [K in (typeof PATTERNS)[number]]?: string } = {};
  for (const [name, part] of parts) {
    const value = part.slice(name.length + 1);
    const pattern = PATTERNS.find((known) => known === name);
    if (pattern !== undefined && value !== '') patterns[pattern] = value;
    else if (name === 'action' && /^(retry|exit)$/i.test(value)) action = /^r/i.test(value) ? 'RETRY' : 'EXIT';
    else throw new InvalidArgumentError(EXIT_RULE_HELP);
  }
  if (action === undefined || Object.keys(patterns).length === 0) throw new InvalidArgumentError(EXIT_RULE_HELP);
  return [...before, { action, ...patterns }];
}
