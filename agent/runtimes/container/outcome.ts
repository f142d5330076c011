import { readFileSync } from 'node:fs';
import type { StopRecord } from '../attempt.ts';
import { REASON_EXITED, REASON_OUT_OF_MEMORY } from '../outcome.ts';
import type { Outcome } from '../runtime.ts';
import type { GroupCounters } from './group.ts';

/** What an engine says of a container, as far as it matters here. */
export interface InspectedContainer {
  readonly Id: string;
  readonly State: {
    readonly Status: string;
    readonly Running: boolean;
    readonly Pid: number;
    readonly ExitCode: number;
    readonly OOMKilled: boolean;
    readonly Error: string;
    readonly StartedAt: string;
    readonly FinishedAt: string;
  };
  readonly Config?: { readonly Labels?: Readonly<Record<string, string>> | null };
}

export interface ContainerEvidence {
  readonly state: InspectedContainer['State'];
  readonly stop?: StopRecord;
  readonly startedAtUptimeMs?: number;
  readonly counters: GroupCounters;
  /** The limit. */
  readonly memoryBytes?: number;
  readonly imageDigest: string;
  /** It belongs to an earlier boot of the host. */
  readonly earlierBoot: boolean;
}

/** The engine's zero time is the year 1. */
function timeOf(text: string): number | undefined {
  const time = Date.parse(text);
  return Number.isFinite(time) && time > 0 ? time : undefined;
}

/** Turns what the engine tells of a container that is over into what is told. Invents nothing. */
export function judgeContainer(evidence: ContainerEvidence): Outcome {
  const { state, stop, startedAtUptimeMs, counters } = evidence;
  const [startedAt, finishedAt] = [timeOf(state.StartedAt), timeOf(state.FinishedAt)];
  const facts = {
    imageDigest: evidence.imageDigest,
    ...(startedAtUptimeMs === undefined ? {} : { startedAtUptimeMs }),
    ...(startedAt === undefined || finishedAt === undefined
      ? {}
      : { runDurationMs: Math.max(0, finishedAt - startedAt) }),
    ...(counters.peakMemoryBytes === undefined ? {} : { peakMemoryBytes: counters.peakMemoryBytes }),
    ...(counters.cpuTimeUs === undefined ? {} : { cpuTimeUs: counters.cpuTimeUs }),
  };
  if (evidence.earlierBoot && (finishedAt === undefined || finishedAt >= bootTimeMs())) {
    // The code is what the engine made up when it came back.
    return { cause: 'host_restarted', reason: 'The host was restarted before an exit code was written', ...facts };
  }
  const exit = { exitCode: state.ExitCode };
  if (stop !== undefined) return { cause: stop.cause, reason: stop.reason, ...exit, ...facts };
  if (state.ExitCode !== 0 && ranOutOfMemory(evidence)) {
    return { cause: 'out_of_memory', reason: REASON_OUT_OF_MEMORY, ...exit, ...facts };
  }
  return { cause: 'exited', reason: REASON_EXITED, ...exit, ...facts };
}

/** The status of a SIGKILL. */
const KILLED = 137;
/** The kernel charges in batches, so that a peak may stay a little below the limit that was hit. */
const AT_LIMIT = 0.98;

/**
 * The engine says so, or the kernel does. On cgroup v1 the engine may hear of it after the end and then never says so: there
 * a SIGKILL that was not ours, of a container whose memory was at its limit, is taken for it.
 */
function ranOutOfMemory({ state, counters, memoryBytes }: ContainerEvidence): boolean {
  if (state.OOMKilled || (counters.oomKills ?? 0) > 0) return true;
  if (state.ExitCode !== KILLED || memoryBytes === undefined) return false;
  return (counters.peakMemoryBytes ?? 0) >= memoryBytes * AT_LIMIT;
}

/** When this boot began, by the wall clock. */
function bootTimeMs(): number {
  const match = /^btime (\d+)$/m.exec(readFileSync('/proc/stat', 'utf8'));
  return Number(match?.[1] ?? 0) * 1000;
}
