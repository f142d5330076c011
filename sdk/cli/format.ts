import type { Position } from '../events.ts';
import type { JobDefinition, JobSummary, Resources } from '../types.ts';

type RetryStrategy = NonNullable<JobDefinition['retryStrategy']>;

const SIZE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** `512 MiB`, `1.5 GiB`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (Math.abs(value) >= 1024 && unit < SIZE_UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const text = Number.isInteger(value) || value >= 100 ? value.toFixed(0) : value.toFixed(1);
  return `${text} ${SIZE_UNITS[unit]}`;
}

/** `0.5`, `2`: vCPUs from thousandths. */
export function formatVcpus(milli: number): string {
  return String(milli / 1000);
}

/** `0.4 s`, `12 s`, `3m 04s`, `2h 05m`, `3d 4h`. */
export function formatDuration(ms: number): string {
  if (ms < 0) return '0 s';
  if (ms < 9_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const two = (value: number) => String(value).padStart(2, '0');
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m ${two(seconds % 60)}s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours}h ${two(minutes % 60)}m`;
  return `${Math.floor(hours / 24)}d ${hours % 24}h`;
}

/** Local date and time: `2026-11-20 14:03:09`. */
export function formatTime(ms: number): string {
  const date = new Date(ms);
  const two = (value: number) => String(value).padStart(2, '0');
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** `1.2345`: epoch and sequence. */
export function formatPosition({ epoch, sequence }: Position): string {
  return `${epoch}.${sequence}`;
}

/** `1 vCPU, 512 MiB, 1 gpu`. */
export function formatResources(resources: Resources | undefined): string {
  return resourceParts(resources, () => false).join(', ');
}

/** The same, with `(default)` behind what was not asked for. */
export function formatResourcesGiven(
  resources: Resources | undefined,
  asked: { readonly vcpus?: unknown; readonly memoryBytes?: unknown } = {},
): string {
  const isDefault = (key: 'vcpus' | 'memoryBytes') => asked[key] === undefined;
  return resourceParts(resources, isDefault).join(', ');
}

function resourceParts(
  resources: Resources | undefined,
  isDefault: (key: 'vcpus' | 'memoryBytes') => boolean,
): string[] {
  if (resources === undefined) return [];
  const { milliVcpu, memoryBytes, swapBytes, named } = resources;
  const mark = (key: 'vcpus' | 'memoryBytes') => (isDefault(key) ? ' (default)' : '');
  return [
    ...(milliVcpu === undefined ? [] : [`${formatVcpus(milliVcpu)} vCPU${mark('vcpus')}`]),
    ...(memoryBytes === undefined ? [] : [`${formatBytes(memoryBytes)}${mark('memoryBytes')}`]),
    ...(swapBytes === undefined || swapBytes === 0 ? [] : [`${formatBytes(swapBytes)} swap`]),
    ...named.map(({ name, count }) => `${count} ${name}`),
  ];
}

/** `3 at most; exit on exit code 2`; undefined where nothing was said. */
export function formatTries(strategy: RetryStrategy | undefined): string | undefined {
  if (strategy === undefined) return undefined;
  const rules = strategy.evaluateOnExit.map(({ action = '', onExitCode, onReason, onStatusReason }) => {
    const patterns = [
      ...(onExitCode === '' ? [] : [`exit code ${onExitCode}`]),
      ...(onReason === '' ? [] : [`reason ${onReason}`]),
      ...(onStatusReason === '' ? [] : [`status reason ${onStatusReason}`]),
    ];
    return `${action.toLowerCase()} on ${patterns.join(' and ')}`;
  });
  return [`${strategy.attempts} at most`, ...rules].join('; ');
}

/** How it ended: `0`, `exit 3`, `SIGKILL`, `out of memory`; empty while it lives. */
export function formatExit({
  exitCode,
  signal,
  cause,
}: {
  readonly exitCode?: number;
  readonly signal?: number;
  readonly cause?: string;
}): string {
  if (cause !== undefined && cause !== 'EXITED' && cause !== 'SIGNALLED')
    return cause.toLowerCase().replaceAll('_', ' ');
  if (signal !== undefined && signal !== 0) return `signal ${signal}`;
  return exitCode === undefined ? '' : String(exitCode);
}

/** AWS says this of every job that ended by itself; beside an exit code it tells nobody anything. */
const ORDINARY_END = 'Essential container in task exited';

/** Why it is as it is, in one line; empty where there is nothing to say. */
export function formatReason({
  reason,
  statusReason,
}: {
  readonly reason: string;
  readonly statusReason: string;
}): string {
  return [reason, statusReason].find((text) => text !== '' && text !== ORDINARY_END) ?? '';
}

/** How long it ran, or has been running. */
export function formatRunTime({ startedAtMs, stoppedAtMs }: JobSummary, nowMs: number): string {
  return startedAtMs === undefined ? '' : formatDuration((stoppedAtMs ?? nowMs) - startedAtMs);
}

/** `1 job`, `2 jobs`. */
export function count(number: number, noun: string, plural = `${noun}s`): string {
  return `${number} ${number === 1 ? noun : plural}`;
}
