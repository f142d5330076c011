import { EventEmitter } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Hierarchy } from '../cgroup/cgroup.ts';
import { signalQuietly } from '../cgroup/files.ts';
import type { OpenedCgroups } from '../cgroup/open.ts';
import { LeafPool } from '../cgroup/pool.ts';
import { bootId, uptimeMs } from '../launcher/boot.ts';
import { type Hint, HintPipe } from '../launcher/events.ts';
import { jobScript, unacceptable } from '../launcher/job-script.ts';
import { findTools, Launcher, type LauncherTools } from '../launcher/launcher.ts';
import {
  claimForAgent,
  claimIn,
  type ExitRecord,
  exitIn,
  forgetScript,
  launchIn,
  prepareLaunch,
  readExit,
  readLaunch,
  readRecord,
} from '../launcher/records.ts';
import { accountEnvironment, type Identity, resolveIdentity } from '../users/identity.ts';
import { type Lookup, lookUpAccount, rememberLookups, UserError } from '../users/lookup.ts';
import {
  type Attempt,
  type LaunchRecord,
  readLaunchRecord,
  readStopRecord,
  type StopRecord,
  writeStopRecord,
} from './attempt.ts';
import { judge, REASON_TIMED_OUT } from './outcome.ts';
import { killUntilEmpty, leafGroup, MARKER_VARIABLE, sessionGroup } from './process-group.ts';
import type {
  Attached,
  AttachRequest,
  AttemptLaunch,
  Outcome,
  Runtime,
  RuntimeDescription,
  RuntimeEvents,
  Started,
  StopOptions,
  Usage,
} from './runtime.ts';
import { settle, supervised } from './settle.ts';

/** Deadlines and supervisors are looked at this often; a supervisor's death is noticed within {@link LIVENESS_MS}. */
const SWEEP_MS = 200;
const LIVENESS_MS = 2_000;
const QUARANTINE_RETRY_MS = 1_000;
/** Agent and supervisors, as far as the agent may; jobs are what the host's OOM killer shall take first. */
export const AGENT_OOM_SCORE_ADJUST = -900;
export const JOB_OOM_SCORE_ADJUST = 500;

export interface ProcessRuntimeOptions {
  /** Of the runtime itself, absolute, on a local disk, 0700: named pipe, launcher script and log. */
  readonly directory: string;
  readonly cgroups: OpenedCgroups;
  /** Lets jobs that ask for root run as root. Default: they run as the documented default user. */
  readonly allowRoot?: boolean;
  readonly lookUp?: Lookup;
}

/** Runs attempts as processes of this host: see runtime.ts for the contract and launcher/script.ts for the protocol. */
export class ProcessRuntime extends EventEmitter<RuntimeEvents> implements Runtime {
  readonly description: RuntimeDescription;
  readonly #options: ProcessRuntimeOptions;
  readonly #pool: LeafPool | undefined;
  readonly #lookUp: Lookup;
  readonly #bootId = bootId();
  readonly #tools: LauncherTools;
  readonly #attempts = new Map<string, Attempt>();
  #launcher: Launcher | undefined;
  #hints: HintPipe | undefined;
  #sweep: NodeJS.Timeout | undefined;
  #attached = false;
  /** From here on hints are followed: before, attempts have no leaf yet. */
  #takenOver = false;
  #closed = false;
  #lookNext = 0;
  #reapNeeded = false;
  #quarantineRetryAt = 0;

  private constructor(options: ProcessRuntimeOptions, tools: LauncherTools, hierarchy: Hierarchy | undefined) {
    super();
    this.#options = options;
    this.#tools = tools;
    this.#pool = hierarchy === undefined ? undefined : new LeafPool(hierarchy);
    this.#lookUp = rememberLookups(options.lookUp ?? lookUpAccount);
    this.description = { limits: options.cgroups.limits, oomProtection: protectFromOomKiller() };
  }

  /** Starts the launcher. Throws when the node lacks one of the tools that it needs (dash or sh, setsid, setpriv, env). */
  static async open(options: ProcessRuntimeOptions): Promise<ProcessRuntime> {
    await mkdir(options.directory, { recursive: true, mode: 0o700 });
    const tools = findTools();
    const runtime = new ProcessRuntime(options, tools, options.cgroups.hierarchy);
    const fifo = join(options.directory, 'hints');
    runtime.#hints = await HintPipe.open(fifo, (hint) => runtime.#onHint(hint));
    runtime.#launcher = new Launcher(
      { directory: options.directory, fifo, oomScoreAdjust: JOB_OOM_SCORE_ADJUST, tools },
      () => runtime.#onLauncherLost(),
    );
    return runtime;
  }

  async attach(requests: readonly AttachRequest[]): Promise<Attached[]> {
    if (this.#attached) throw new Error('attach is called once, before the first start');
    this.#attached = true;
    const attached: Attached[] = [];
    const present: { attempt: Attempt; settled: Awaited<ReturnType<typeof settle>> }[] = [];
    for (const { key, directory, bootId: boot } of requests) {
      if (boot !== this.#bootId) {
        attached.push({ key, state: 'ended', outcome: afterRestart(directory, boot) });
        continue;
      }
      const settled = await settle(directory);
      const record = readLaunchRecord(directory);
      if (settled.state === 'never_claimed' || record === undefined) {
        const { cause, reason } = readStopRecord(directory) ?? notStarted('the agent ended before the launch');
        attached.push({ key, state: 'ended', outcome: { cause, reason } });
        continue;
      }
      present.push({ attempt: this.#restore(key, directory, record), settled });
    }
    await this.#recoverLeaves(present.map(({ attempt }) => attempt));
    await Promise.all(
      present.map(async ({ attempt, settled }) => {
        const { key } = attempt;
        if (settled.state === 'running') {
          attempt.supervisor = settled.supervisor;
          const at = attempt.startedAtUptimeMs;
          attached.push({ key, state: 'running', ...(at === undefined ? {} : { startedAtUptimeMs: at }) });
        } else {
          const outcome = await this.#conclude(attempt, settled.state === 'over' ? settled.exit : undefined);
          attached.push({ key, state: 'ended', outcome });
        }
      }),
    );
    this.#takenOver = true;
    this.#sweep = setInterval(() => this.#onSweep(), SWEEP_MS);
    // Hints that came meanwhile were passed over; what they said is told after the caller has its answer.
    setImmediate(() => {
      for (const { attempt } of present) if (!this.#closed) this.#look(attempt);
    });
    return attached;
  }

  async start(launch: AttemptLaunch): Promise<Started> {
    if (!this.#attached || this.#closed) throw new Error('start is called between attach and close');
    if (this.#attempts.has(launch.key)) throw new Error(`attempt ${launch.key} has been started already`);
    const attempt: Attempt = {
      key: launch.key,
      directory: launch.directory,
      phase: 'preparing',
      started: Promise.withResolvers(),
    };
    this.#attempts.set(launch.key, attempt);
    try {
      const refused = unacceptable(launch);
      if (refused !== undefined) throw new UserError('malformed', refused);
      const identity = await resolveIdentity(launch.user, {
        agentUid: process.getuid?.() ?? 0,
        allowRoot: this.#options.allowRoot ?? false,
        lookUp: this.#lookUp,
      });
      if (attempt.stop !== undefined) this.#finish(attempt, attempt.stop);
      else this.#launch(attempt, launch, identity);
    } catch (error) {
      this.#finish(attempt, launchFailed(error));
    }
    return attempt.started.promise;
  }

  stop(key: string, options: StopOptions): void {
    const attempt = this.#attempts.get(key);
    if (attempt === undefined || attempt.phase === 'ended' || attempt.phase === 'ending') return;
    this.#stop(attempt, 'stopped', options);
  }

  usage(key: string): Usage | undefined {
    const attempt = this.#attempts.get(key);
    if (attempt?.leaf === undefined) return undefined;
    const { memoryBytes, cpuTimeUs, processes } = attempt.leaf.counters();
    return {
      ...(memoryBytes === undefined ? {} : { memoryBytes }),
      ...(cpuTimeUs === undefined ? {} : { cpuTimeUs: cpuTimeUs - (attempt.record?.baseline?.cpuTimeUs ?? 0) }),
      ...(processes === undefined ? {} : { processes }),
    };
  }

  get launcherPid(): number | undefined {
    return this.#launcher?.pid;
  }

  /** True from `start` (or a running `attach`) until `ended`. */
  isLive(key: string): boolean {
    const phase = this.#attempts.get(key)?.phase;
    return phase !== undefined && phase !== 'ended';
  }

  async release(key: string): Promise<void> {
    const attempt = this.#attempts.get(key);
    if (attempt?.phase !== 'ended') return;
    this.#attempts.delete(key);
    if (attempt.leaf !== undefined) await this.#pool?.release(attempt.leaf);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#sweep);
    await this.#launcher?.close();
    this.#hints?.close();
    this.#pool?.close();
  }

  #launch(attempt: Attempt, launch: AttemptLaunch, identity: Identity): void {
    const { key, directory } = launch;
    const leaf = this.#pool?.acquire();
    if (leaf !== undefined) attempt.leaf = leaf;
    attempt.group = leaf === undefined ? sessionGroup(key, () => readLaunch(directory).process?.pid) : leafGroup(leaf);
    leaf?.configure(launch.limits);
    const record: LaunchRecord = {
      key,
      bootId: this.#bootId,
      launchedAtUptimeMs: uptimeMs(),
      ...(launch.timeoutSeconds === undefined ? {} : { timeoutSeconds: launch.timeoutSeconds }),
      stopGraceSeconds: launch.stopGraceSeconds,
      program: launch.argv[0] ?? '',
      ...(launch.workingDirectory === undefined ? {} : { workingDirectory: launch.workingDirectory }),
      ...(leaf === undefined ? {} : { leaf: leaf.record, baseline: leaf.counters() }),
    };
    attempt.record = record;
    const script = jobScript(
      {
        key,
        argv: launch.argv,
        environment: {
          ...accountEnvironment(identity.account),
          ...launch.environment,
          ...(leaf === undefined ? { [MARKER_VARIABLE]: key } : {}),
        },
        ...(launch.workingDirectory === undefined ? {} : { workingDirectory: launch.workingDirectory }),
        home: identity.account.home,
      },
      this.#tools,
    );
    prepareLaunch(directory, record, script);
    attempt.phase = 'launching';
    this.#launcher?.launch({
      directory,
      key,
      ...(identity.switched ? { identity: identity.account } : {}),
      separateStreams: launch.separateStreams,
      enterFiles: leaf?.enterFiles ?? [],
    });
  }

  #restore(key: string, directory: string, record: LaunchRecord): Attempt {
    const stop = readStopRecord(directory);
    const { startedAtUptimeMs } = readLaunch(directory);
    if (startedAtUptimeMs !== undefined) forgetScript(directory, record);
    const attempt: Attempt = {
      key,
      directory,
      phase: startedAtUptimeMs === undefined ? 'launching' : 'running',
      record,
      group: sessionGroup(key, () => readLaunch(directory).process?.pid),
      ...(startedAtUptimeMs === undefined ? {} : { startedAtUptimeMs }),
      ...(stop === undefined ? {} : { stop }),
      started: Promise.withResolvers(),
    };
    this.#attempts.set(key, attempt);
    return attempt;
  }

  async #recoverLeaves(attempts: readonly Attempt[]): Promise<void> {
    const holders = attempts.filter((attempt) => attempt.record?.leaf !== undefined);
    const records = holders.flatMap((attempt) => attempt.record?.leaf ?? []);
    const leaves = (await this.#pool?.recover(records)) ?? [];
    leaves.forEach((leaf, index) => {
      const attempt = holders[index];
      if (attempt === undefined) return;
      attempt.leaf = leaf;
      attempt.group = leafGroup(leaf);
    });
  }

  #onHint({ kind, key }: Hint): void {
    const attempt = this.#attempts.get(key);
    if (attempt === undefined || !this.#takenOver) return;
    if (kind === 'started') this.#noticeStart(attempt, readRecord(attempt.directory) ?? '');
    else this.#look(attempt);
  }

  /** Reads the files of an attempt, which alone say what is the case. */
  #look(attempt: Attempt): void {
    if (attempt.phase !== 'launching' && attempt.phase !== 'running') return;
    const record = readRecord(attempt.directory);
    if (record === undefined) return;
    this.#noticeStart(attempt, record);
    if (attempt.supervisor === undefined) {
      const claim = claimIn(record);
      if (claim.by !== 'supervisor') return;
      attempt.supervisor = claim.supervisor;
    }
    let exit = exitIn(record);
    if (exit === undefined) {
      const settled = supervised(attempt.directory, attempt.supervisor);
      if (settled.state === 'running') return;
      if (settled.state === 'over') exit = settled.exit;
    }
    void this.#conclude(attempt, exit).then((outcome) => this.emit('ended', attempt.key, outcome));
  }

  #noticeStart(attempt: Attempt, record: string): void {
    if (attempt.phase !== 'launching') return;
    const { startedAtUptimeMs } = launchIn(record);
    if (startedAtUptimeMs === undefined) return;
    attempt.phase = 'running';
    if (attempt.record !== undefined) forgetScript(attempt.directory, attempt.record);
    // The job's own user could write there: a start in the future would put off its time-out.
    attempt.startedAtUptimeMs = Math.min(startedAtUptimeMs, uptimeMs());
    attempt.started.resolve({ state: 'running', startedAtUptimeMs: attempt.startedAtUptimeMs });
    this.emit('started', attempt.key, attempt.startedAtUptimeMs);
    if (attempt.stop !== undefined) this.#signal(attempt);
  }

  /** The main process is over, or nobody watches it any more: nothing of the attempt may outlive this. */
  async #conclude(attempt: Attempt, exit: ExitRecord | undefined): Promise<Outcome> {
    attempt.phase = 'ending';
    const empty = attempt.group === undefined || (await killUntilEmpty(attempt.group));
    this.#reapNeeded = true;
    const progress = readLaunch(attempt.directory);
    const startedAtUptimeMs = attempt.startedAtUptimeMs ?? progress.startedAtUptimeMs;
    const outcome = judge({
      ...(exit === undefined ? {} : { exit }),
      ...(attempt.record === undefined ? {} : { record: attempt.record }),
      ...(attempt.stop === undefined ? {} : { stop: attempt.stop }),
      ...(attempt.leaf === undefined ? {} : { counters: attempt.leaf.counters() }),
      ...(startedAtUptimeMs === undefined ? {} : { startedAtUptimeMs }),
      ...(progress.failure === undefined ? {} : { failure: progress.failure }),
      leftBehind: !empty,
    });
    this.#record(attempt, outcome);
    return outcome;
  }

  /** For an attempt that no supervisor has or will have. */
  #finish(attempt: Attempt, { cause, reason }: Pick<Outcome, 'cause' | 'reason'>): void {
    const outcome: Outcome = { cause, reason };
    this.#record(attempt, outcome);
    this.emit('ended', attempt.key, outcome);
  }

  #record(attempt: Attempt, outcome: Outcome): void {
    attempt.phase = 'ended';
    if (attempt.startedAtUptimeMs === undefined && attempt.record !== undefined) {
      forgetScript(attempt.directory, attempt.record);
    }
    attempt.outcome = outcome;
    attempt.started.resolve({ state: 'ended', outcome });
  }

  #stop(attempt: Attempt, cause: StopRecord['cause'], options: StopOptions): void {
    const killAtUptimeMs = uptimeMs() + options.graceSeconds * 1000;
    const previous = attempt.stop;
    // A second stop may shorten the grace, and never changes why it was stopped.
    attempt.stop = {
      cause: previous?.cause ?? cause,
      reason: previous?.reason ?? options.reason,
      killAtUptimeMs: Math.min(previous?.killAtUptimeMs ?? killAtUptimeMs, killAtUptimeMs),
    };
    if (attempt.phase === 'preparing') return;
    writeStopRecord(attempt.directory, attempt.stop);
    if (attempt.phase === 'launching' && claimForAgent(attempt.directory)) this.#finish(attempt, attempt.stop);
    else this.#signal(attempt);
  }

  #signal(attempt: Attempt): void {
    if (attempt.stop !== undefined && attempt.stop.killAtUptimeMs <= uptimeMs()) attempt.group?.kill();
    else for (const pid of attempt.group?.processes() ?? []) signalQuietly(pid, 'SIGTERM');
  }

  #onSweep(): void {
    const now = uptimeMs();
    const alive: Attempt[] = [];
    for (const attempt of this.#attempts.values()) {
      if (attempt.phase !== 'launching' && attempt.phase !== 'running') continue;
      alive.push(attempt);
      if (attempt.stop !== undefined) {
        if (now >= attempt.stop.killAtUptimeMs) attempt.group?.kill();
        continue;
      }
      const seconds = attempt.record?.timeoutSeconds;
      if (seconds === undefined || attempt.startedAtUptimeMs === undefined) continue;
      if (now < attempt.startedAtUptimeMs + seconds * 1000) continue;
      const graceSeconds = attempt.record?.stopGraceSeconds ?? 0;
      this.#stop(attempt, 'timed_out', { graceSeconds, reason: REASON_TIMED_OUT });
    }
    const share = Math.ceil((alive.length * SWEEP_MS) / LIVENESS_MS);
    for (let count = 0; count < share; count++) {
      const attempt = alive[this.#lookNext++ % alive.length];
      if (attempt !== undefined) this.#look(attempt);
    }
    if (this.#reapNeeded) this.#launcher?.reap();
    this.#reapNeeded = false;
    if (now >= this.#quarantineRetryAt) {
      this.#quarantineRetryAt = now + QUARANTINE_RETRY_MS;
      void this.#pool?.retryQuarantined();
    }
  }

  /** Lines that the launcher had not read are gone; nobody else can claim what this agent claims now. */
  #onLauncherLost(): void {
    for (const attempt of this.#attempts.values()) {
      if (attempt.phase !== 'launching' || !claimForAgent(attempt.directory)) continue;
      this.#finish(attempt, attempt.stop ?? notStarted('the launcher ended before it read the line'));
    }
  }
}

function notStarted(why: string): Pick<Outcome, 'cause' | 'reason'> & Outcome {
  return { cause: 'not_started', reason: `The attempt was never begun: ${why}` };
}

/** Whatever keeps an attempt from being handed to the launcher (an unknown user, a refused limit, a full disk) ends it. */
function launchFailed(error: unknown): Outcome {
  const message = error instanceof Error ? error.message : String(error);
  return { cause: 'launch_failed', reason: `CannotStartContainerError: ${message}` };
}

/** In another boot nothing runs any more and no counters are left: only a complete exit record of that boot counts. */
function afterRestart(directory: string, boot: string): Outcome {
  const exit = readExit(directory);
  const { startedAtUptimeMs } = readLaunch(directory);
  const stop = readStopRecord(directory);
  if (exit?.bootId === boot) {
    return judge({
      exit,
      ...(startedAtUptimeMs === undefined ? {} : { startedAtUptimeMs }),
      ...(stop === undefined ? {} : { stop }),
      leftBehind: false,
    });
  }
  return {
    cause: 'host_restarted',
    reason: 'The host was restarted before an exit code was written',
    ...(startedAtUptimeMs === undefined ? {} : { startedAtUptimeMs }),
  };
}

/** Children inherit the value, so launcher and supervisors are covered; a job raises its own. */
function protectFromOomKiller(): string {
  const file = '/proc/self/oom_score_adj';
  try {
    writeFileSync(file, `${AGENT_OOM_SCORE_ADJUST}`);
    return 'protected';
  } catch {
    const now = readFileSync(file, 'utf8').trim();
    return `unavailable: this agent may not lower its own OOM score (it stays at ${now}); jobs are preferred by ${JOB_OOM_SCORE_ADJUST}`;
  }
}
