import { constants } from 'node:os';
import type { Counters } from '../cgroup/cgroup.ts';
import type { ExitRecord } from '../launcher/records.ts';
import type { LaunchRecord, StopRecord } from './attempt.ts';
import type { Outcome } from './runtime.ts';

/** AWS Batch's own texts (clients match on them). */
export const REASON_EXITED = 'Essential container in task exited';
export const REASON_OUT_OF_MEMORY = 'OutOfMemoryError: Container killed due to memory usage';
export const REASON_TIMED_OUT = 'Job attempt duration exceeded timeout';
const CANNOT_START = 'CannotStartContainerError';

/** Above this a shell's status is 128 plus a signal. */
const SIGNAL_BASE = 128;

export interface Evidence {
  readonly exit?: ExitRecord;
  readonly record?: LaunchRecord;
  readonly stop?: StopRecord;
  readonly counters?: Counters;
  readonly startedAtUptimeMs?: number;
  /** From the `record` file: why the job's own command was not reached. */
  readonly failure?: string;
  readonly leftBehind: boolean;
}

/** Turns what is known about an ended attempt into what is told. Pure; invents nothing. */
export function judge(evidence: Evidence): Outcome {
  const { exit, startedAtUptimeMs, stop } = evidence;
  const measured = {
    ...(startedAtUptimeMs === undefined ? {} : { startedAtUptimeMs }),
    ...(startedAtUptimeMs === undefined || exit === undefined
      ? {}
      : { runDurationMs: Math.max(0, exit.endedAtUptimeMs - startedAtUptimeMs) }),
    ...consumption(evidence),
    ...(evidence.leftBehind ? { leftBehind: true } : {}),
  };
  if (exit === undefined) return { ...withoutExit(evidence), ...measured };
  const status = statusOf(exit);
  const failed = status.signal !== undefined || status.exitCode !== 0;
  if (stop !== undefined) return { cause: stop.cause, reason: stop.reason, ...status, ...measured };
  if (failed && (measured.oomKills ?? 0) > 0) {
    return { cause: 'out_of_memory', reason: REASON_OUT_OF_MEMORY, ...status, ...measured };
  }
  if (startedAtUptimeMs === undefined) {
    return { cause: 'launch_failed', reason: launchFailure(evidence, exit), ...measured };
  }
  if (status.signal === undefined) return { cause: 'exited', reason: REASON_EXITED, ...status, ...measured };
  return { cause: 'signalled', reason: `The job was ended by ${signalName(status.signal)}`, ...status, ...measured };
}

function withoutExit({ startedAtUptimeMs, stop }: Evidence): Outcome {
  if (startedAtUptimeMs === undefined) {
    if (stop !== undefined) return { cause: stop.cause, reason: stop.reason };
    return {
      cause: 'launch_failed',
      reason: `${CANNOT_START}: the supervisor ended before the job's first instruction`,
    };
  }
  return { cause: 'lost', reason: "The exit code is unknown: the job's supervisor was killed" };
}

/** A status that cannot be told apart is given as the exit code that the shell saw. */
function statusOf(exit: ExitRecord): { exitCode?: number; signal?: number } {
  return exit.how === 'signalled' ? { signal: exit.code - SIGNAL_BASE } : { exitCode: exit.code };
}

function consumption({ counters, record }: Evidence): Pick<Outcome, 'peakMemoryBytes' | 'cpuTimeUs' | 'oomKills'> {
  if (counters === undefined) return {};
  const baseline = record?.baseline;
  return {
    ...(counters.peakMemoryBytes === undefined
      ? {}
      : { peakMemoryBytes: Math.max(0, counters.peakMemoryBytes - (baseline?.memoryBytes ?? 0)) }),
    ...(counters.cpuTimeUs === undefined ? {} : { cpuTimeUs: counters.cpuTimeUs - (baseline?.cpuTimeUs ?? 0) }),
    oomKills: counters.oomKills - (baseline?.oomKills ?? 0),
  };
}

function launchFailure({ failure, record }: Evidence, exit: ExitRecord): string {
  if (failure === 'directory') {
    return `${CANNOT_START}: working directory ${JSON.stringify(record?.workingDirectory)} cannot be entered by the job's user`;
  }
  if (failure === 'command') {
    return `${CANNOT_START}: command ${JSON.stringify(record?.program)} was not found or may not be executed`;
  }
  if (failure === 'enter') return `${CANNOT_START}: the job's process could not enter its control group`;
  return `${CANNOT_START}: the job's process could not be prepared (status ${exit.code})`;
}

export function signalName(signal: number): string {
  const known = Object.entries(constants.signals).find(([, number]) => number === signal);
  return known === undefined ? `signal ${signal}` : known[0];
}
