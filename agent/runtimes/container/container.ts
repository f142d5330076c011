import { EventEmitter } from 'node:events';
import { chmod, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { detectHierarchies } from '../../cgroup/detect.ts';
import { bootId, uptimeMs } from '../../launcher/boot.ts';
import { claimForAgent, readClaim } from '../../launcher/records.ts';
import { type Lookup, lookUpAccount, rememberLookups } from '../../users/lookup.ts';
import { readStopRecord, type StopRecord, writeStopRecord } from '../attempt.ts';
import { REASON_TIMED_OUT } from '../outcome.ts';
import type {
  Attached,
  AttachRequest,
  AttemptLaunch,
  ContainerLaunch,
  Outcome,
  RuntimeEvents,
  Started,
  StopOptions,
  Usage,
} from '../runtime.ts';
import { type ContainerAttempt, newAttempt } from './attempt.ts';
import { CONTAINER_DEADLINES, ContainerCalls, type ContainerDeadlines, refusalText } from './calls.ts';
import { EngineError, hasStatus, isRefusal } from './engine.ts';
import { ContainerGroups, mergeCounters, readCounters } from './group.ts';
import { EngineHealth, type EngineInfo, type EngineState, usualSockets } from './health.ts';
import { containerAccount } from './identity.ts';
import { Images } from './images.ts';
import { type InspectedContainer, judgeContainer } from './outcome.ts';
import { copyOutput } from './output.ts';
import { type ContainerRecord, readContainerRecord, writeContainerRecord } from './record.ts';
import { containerBody, scratchDirectory } from './spec.ts';
import { ContainerError, timedOut } from './texts.ts';

/** Deadlines of attempts are looked at this often, what they use less often. */
const SWEEP_MS = 200;
const SAMPLE_MS = 1_000;
/** The engine is asked which containers are over: one whose output does not end by itself is found by this. */
const LIST_MS = 2_000;
const CLEAN_UP_MS = 60_000;
/** Between two tries of what the engine has to do: first, and for as long as it is away. */
const FIRST_RETRY_MS = 20;
const RETRY_MS = 1_000;
/** How long the rest of the output of a container that is over may take, a full disk included. */
const LAST_OUTPUT_MS = 60_000;
/** How long an agent that ends waits for what it is about to remove; the next one finds the rest. */
const CLOSE_MS = 5_000;
/** When a node whose engine went away is asked again. */
const ENGINE_RETRY_MS = 15_000;

export interface ContainerRuntimeOptions {
  /** Of the runtime itself, absolute, on a local disk, 0700. */
  readonly directory: string;
  /** Of the agent's state directory: what carries another one is not ours. */
  readonly incarnation: string;
  /** Default: where Docker and Podman usually listen. */
  readonly sockets?: readonly string[];
  /** Lets containers be privileged, and name any user beside paths of the host. Default: false. */
  readonly allowPrivileged?: boolean;
  readonly allowRoot?: boolean;
  /** See `DEFAULT_IMAGE_CACHE_BYTES`. */
  readonly imageCacheBytes?: number;
  readonly deadlines?: Partial<ContainerDeadlines>;
  readonly lookUp?: Lookup;
}

/**
 * Runs attempts as containers of the engine on this host; see runtime.ts for the contract. The engine is the supervisor:
 * it keeps a container, its exit code and its output over a restart of the agent. Order (DESIGN D9): create, claim by exclusive
 * creation of a file, start; what is claimed is never started again, and a start whose answer never came is settled with
 * the engine before anything is told.
 */
export class ContainerRuntime extends EventEmitter<RuntimeEvents & { engine: [state: EngineState] }> {
  readonly #options: ContainerRuntimeOptions;
  readonly #deadlines: ContainerDeadlines;
  readonly #health: EngineHealth;
  readonly #images: Images;
  readonly #lookUp: Lookup;
  readonly #groups: ContainerGroups;
  readonly #isRoot = process.getuid?.() === 0;
  readonly #bootId = bootId();
  readonly #attempts = new Map<string, ContainerAttempt>();
  readonly #closing = new AbortController();
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #working = new Set<Promise<void>>();
  #attached = false;

  private constructor(options: ContainerRuntimeOptions) {
    super();
    this.#options = options;
    this.#deadlines = { ...CONTAINER_DEADLINES, ...options.deadlines };
    this.#health = new EngineHealth(options.sockets ?? usualSockets());
    this.#images = new Images(options.directory, options.imageCacheBytes);
    this.#lookUp = rememberLookups(options.lookUp ?? lookUpAccount);
    this.#groups = new ContainerGroups(detectHierarchies(), `galley-${options.incarnation.slice(0, 8)}-containers`);
  }

  /** Looks for an engine, once; without one the runtime stands all the same and looks again from time to time. */
  static async open(options: ContainerRuntimeOptions): Promise<ContainerRuntime> {
    await mkdir(options.directory, { recursive: true, mode: 0o700 });
    const runtime = new ContainerRuntime(options);
    runtime.#health.on('changed', (state) => {
      runtime.emit('engine', state);
      if (state.name === 'up') runtime.#background(runtime.#cleanUp());
    });
    await runtime.#health.start();
    return runtime;
  }

  get engine(): EngineState {
    return this.#health.state;
  }

  /** What became of each is the engine's to say, and it may be away: until it has said so an attempt counts as running. */
  async attach(requests: readonly AttachRequest[]): Promise<Attached[]> {
    if (this.#attached) throw new Error('attach is called once, before the first start');
    this.#attached = true;
    const attached = requests.map((request) => this.#restore(request));
    this.#timers.push(
      setInterval(() => this.#onSweep(), SWEEP_MS),
      setInterval(() => this.#sample(), SAMPLE_MS),
      setInterval(() => this.#background(this.#findEnded()), LIST_MS),
      setInterval(() => this.#background(this.#cleanUp()), CLEAN_UP_MS),
    );
    this.#background(this.#cleanUp());
    return attached;
  }

  async start(launch: AttemptLaunch): Promise<Started> {
    const { container } = launch;
    if (!this.#attached || this.#closing.signal.aborted) throw new Error('start is called between attach and close');
    if (container === undefined) throw new Error(`attempt ${launch.key} is no container`);
    if (this.#attempts.has(launch.key)) throw new Error(`attempt ${launch.key} has been started already`);
    const attempt = newAttempt(launch.key, launch.directory);
    this.#attempts.set(launch.key, attempt);
    this.#background(this.#begin(attempt, launch, container));
    return attempt.started.promise;
  }

  stop(key: string, options: StopOptions): void {
    const attempt = this.#attempts.get(key);
    if (attempt === undefined || attempt.phase === 'ended' || attempt.phase === 'ending') return;
    this.#stop(attempt, 'stopped', options);
  }

  usage(key: string): Usage | undefined {
    const attempt = this.#attempts.get(key);
    if (attempt?.groups === undefined || attempt.phase === 'ended') return undefined;
    const { memoryBytes, cpuTimeUs, processes } = readCounters(attempt.groups);
    return {
      ...(memoryBytes === undefined ? {} : { memoryBytes }),
      ...(cpuTimeUs === undefined ? {} : { cpuTimeUs }),
      ...(processes === undefined ? {} : { processes }),
    };
  }

  /** True from `start` (or a running `attach`) until `ended`. */
  isLive(key: string): boolean {
    const phase = this.#attempts.get(key)?.phase;
    return phase !== undefined && phase !== 'ended';
  }

  /** The container goes when the engine gets to it: an engine that is away holds up nobody who waits for this. */
  async release(key: string): Promise<void> {
    const attempt = this.#attempts.get(key);
    if (attempt?.phase !== 'ended') return;
    this.#attempts.delete(key);
    await rm(join(attempt.directory, 'scratch'), { recursive: true, force: true });
    this.#background(this.#discard(attempt));
  }

  /** Containers go on; calls that are under way are given up. */
  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#health.close();
    this.#closing.abort(new Error('the agent ends'));
    for (const attempt of this.#attempts.values()) {
      attempt.cancel.abort(new Error('the agent ends'));
      attempt.follow?.abort();
    }
    await Promise.race([Promise.allSettled([...this.#working]), sleep(CLOSE_MS, undefined, { ref: false })]);
    if (this.#attempts.size === 0) this.#groups.removeRoot();
  }

  /** Until the claim nothing runs and everything can be given up; after it the engine alone says what is the case. */
  async #begin(attempt: ContainerAttempt, launch: AttemptLaunch, container: ContainerLaunch): Promise<void> {
    let name: string;
    try {
      const { info, calls } = this.#reach();
      const account = await containerAccount(launch, container, {
        lookUp: this.#lookUp,
        agentUid: process.getuid?.() ?? 0,
        allowRoot: this.#options.allowRoot ?? false,
        allowPrivileged: this.#options.allowPrivileged ?? false,
      });
      const { signal } = attempt.cancel;
      const image = await this.#images.ensure(info.engine, container.image, container.pullPolicy, signal);
      await makeScratch(launch, container);
      name = this.#nameOf(attempt.key);
      const ownGroup = this.#isRoot && info.cgroupDriver === 'cgroupfs';
      const group = ownGroup ? this.#groups.parentOf(attempt.key) : undefined;
      attempt.record = {
        key: attempt.key,
        bootId: this.#bootId,
        name,
        launchedAtUptimeMs: uptimeMs(),
        ...(launch.timeoutSeconds === undefined ? {} : { timeoutSeconds: launch.timeoutSeconds }),
        stopGraceSeconds: launch.stopGraceSeconds,
        separateStreams: launch.separateStreams,
        memoryBytes: launch.limits.memoryBytes,
        imageDigest: image.digest,
        stopSignal: image.stopSignal,
        ...(group === undefined ? {} : { group }),
      };
      writeContainerRecord(attempt.directory, attempt.record);
      const body = containerBody({
        launch,
        container,
        incarnation: this.#options.incarnation,
        imageId: image.id,
        podman: info.podman,
        ...(account === undefined ? {} : { account }),
        ...(group === undefined ? {} : { cgroupParent: group }),
      });
      attempt.id = await this.#create(calls, name, body);
      if (this.#closing.signal.aborted) return;
      if (attempt.stop !== undefined) return this.#finish(attempt, attempt.stop);
      if (!claimForAgent(attempt.directory)) throw new Error('somebody else has claimed this attempt');
    } catch (error) {
      // The next agent finds an attempt without a claim: never begun.
      if (!this.#closing.signal.aborted) this.#finish(attempt, attempt.stop ?? notBegun(error));
      return;
    }
    attempt.phase = 'settling';
    let uncertain: Outcome | undefined;
    try {
      await this.#reach().calls.start(name);
    } catch (error) {
      uncertain = startFailed(error, this.#deadlines.startMs);
    }
    await this.#settle(attempt, uncertain);
  }

  async #create(calls: ContainerCalls, name: string, body: unknown): Promise<string> {
    try {
      return await calls.create(name, body);
    } catch (error) {
      if (error instanceof EngineError && error.code === 'timeout') throw timedOut('created', this.#deadlines.createMs);
      const refusal = refusalText(error);
      if (refusal !== undefined) throw new ContainerError('CannotCreateContainerError', refusal, { cause: error });
      throw error;
    }
  }

  #restore({ key, directory, bootId: boot }: AttachRequest): Attached {
    const stop = readStopRecord(directory);
    // Without a directory there is nothing to claim: the agent before had not even begun.
    if (claimForAgent(directory) || readClaim(directory).by === 'nobody') {
      const { cause, reason } = stop ?? neverBegun('the agent ended before the container was started');
      // Left to the clean-up: it cannot run any more.
      return { key, state: 'ended', outcome: { cause, reason } };
    }
    const attempt = newAttempt(key, directory, boot !== this.#bootId);
    attempt.phase = 'settling';
    const record = readContainerRecord(directory) ?? this.#unknownRecord(key, boot);
    attempt.record = record;
    if (stop !== undefined) attempt.stop = stop;
    if (record.startedAtUptimeMs !== undefined && !attempt.earlierBoot) {
      attempt.startedAtUptimeMs = record.startedAtUptimeMs;
    }
    this.#attempts.set(key, attempt);
    this.#background(this.#settle(attempt, neverBegun('the agent ended before the container was started')));
    const at = attempt.startedAtUptimeMs;
    return { key, state: 'running', ...(at === undefined ? {} : { startedAtUptimeMs: at }) };
  }

  /** A record that a power cut took: what can be known is known from the engine. */
  #unknownRecord(key: string, boot: string): ContainerRecord {
    return {
      key,
      bootId: boot,
      name: this.#nameOf(key),
      launchedAtUptimeMs: 0,
      stopGraceSeconds: 0,
      separateStreams: false,
      imageDigest: '',
      stopSignal: 'SIGTERM',
    };
  }

  /**
   * Finds out what became of a claimed attempt, for as long as the engine takes to say so. `notRun` is what is told of one that
   * turns out not to have run, after its container is gone and it never can.
   */
  async #settle(attempt: ContainerAttempt, notRun?: Outcome): Promise<void> {
    const name = attempt.record?.name ?? this.#nameOf(attempt.key);
    for (let tries = 0; !this.#closing.signal.aborted; await this.#pause(tries++)) {
      try {
        const { calls } = this.#reach();
        const found = await calls.inspect(name);
        if (found === undefined) {
          return this.#finish(attempt, attempt.earlierBoot ? HOST_RESTARTED : (attempt.stop ?? CONTAINER_GONE));
        }
        attempt.id = found.Id;
        if (found.State.Status !== 'created') return await this.#watch(attempt, found);
        if (notRun === undefined && attempt.stop === undefined) continue;
        if (await calls.removeUnlessRunning(name))
          return this.#finish(attempt, attempt.stop ?? notRun ?? CONTAINER_GONE);
      } catch (error) {
        if (isRefusal(error)) continue;
        void this.#health.look();
      }
    }
  }

  /** From its start until its end is told. */
  async #watch(attempt: ContainerAttempt, first: InspectedContainer): Promise<void> {
    this.#noticeStart(attempt, first);
    const name = attempt.id ?? this.#nameOf(attempt.key);
    for (let tries = 0; !this.#closing.signal.aborted; await this.#pause(tries++)) {
      try {
        await this.#copy(attempt, name, true);
        const found = await this.#reach().calls.inspect(name);
        if (found === undefined) {
          attempt.phase = 'ending';
          return this.#finish(attempt, attempt.stop ?? CONTAINER_GONE);
        }
        if (found.State.Running || found.State.Status === 'paused') continue;
        attempt.phase = 'ending';
        // Docker may leave out the end of an output that is followed (20.10: the last line, one time in two).
        await this.#copyRest(attempt, name);
        return this.#conclude(attempt, found);
      } catch {
        // The engine is away or restarts: the container may go on, and what it writes is kept for us.
        void this.#health.look();
      }
    }
  }

  /** False: it was cut short. */
  async #copy(attempt: ContainerAttempt, name: string, follow: boolean): Promise<boolean> {
    const abort = new AbortController();
    attempt.follow = abort;
    try {
      const stream = await this.#reach().calls.logs(name, follow, abort.signal);
      await copyOutput(attempt.directory, attempt.record?.separateStreams ?? false, stream);
      return stream.complete;
    } catch (error) {
      // Of one that is gone, or going, there is nothing to read any more.
      if (hasStatus(error, 404) || hasStatus(error, 409)) return true;
      if (!isRefusal(error) && !abort.signal.aborted) throw error;
      return false;
    } finally {
      delete attempt.follow;
    }
  }

  async #copyRest(attempt: ContainerAttempt, name: string): Promise<void> {
    const until = uptimeMs() + LAST_OUTPUT_MS;
    while (uptimeMs() < until && !this.#closing.signal.aborted) {
      try {
        if (await this.#copy(attempt, name, false)) return;
      } catch {
        void this.#health.look();
      }
      await this.#pause();
    }
  }

  #noticeStart(attempt: ContainerAttempt, { State: state }: InspectedContainer): void {
    attempt.phase = 'running';
    if (attempt.earlierBoot) return;
    const { group } = attempt.record ?? {};
    const groups = group === undefined ? this.#groups.ofProcess(state.Pid) : this.#groups.of(group);
    if (groups !== undefined) attempt.groups = groups;
    if (attempt.startedAtUptimeMs === undefined) {
      const now = uptimeMs();
      const age = Math.max(0, Date.now() - Date.parse(state.StartedAt));
      const launched = attempt.record?.launchedAtUptimeMs ?? 0;
      attempt.startedAtUptimeMs = Math.min(now, Math.max(launched, now - (Number.isFinite(age) ? age : 0)));
      if (attempt.record !== undefined) {
        attempt.record = { ...attempt.record, startedAtUptimeMs: attempt.startedAtUptimeMs };
        this.#saveRecord(attempt);
      }
      attempt.started.resolve({ state: 'running', startedAtUptimeMs: attempt.startedAtUptimeMs });
      this.emit('started', attempt.key, attempt.startedAtUptimeMs);
    }
    if (attempt.stop !== undefined) this.#background(this.#signal(attempt));
  }

  /** What a full disk does not take is found again at the engine, less precisely. */
  #saveRecord({ directory, record }: ContainerAttempt): void {
    try {
      if (record !== undefined) writeContainerRecord(directory, record);
    } catch {
      // As said above.
    }
  }

  #conclude(attempt: ContainerAttempt, { State: state }: InspectedContainer): void {
    this.#sampleOne(attempt);
    this.#finish(
      attempt,
      judgeContainer({
        state,
        ...(attempt.stop === undefined ? {} : { stop: attempt.stop }),
        ...(attempt.startedAtUptimeMs === undefined ? {} : { startedAtUptimeMs: attempt.startedAtUptimeMs }),
        counters: attempt.counters,
        ...(attempt.record?.memoryBytes === undefined ? {} : { memoryBytes: attempt.record.memoryBytes }),
        imageDigest: attempt.record?.imageDigest ?? '',
        earlierBoot: attempt.earlierBoot,
      }),
    );
  }

  #finish(attempt: ContainerAttempt, outcome: Outcome | StopRecord): void {
    const { imageDigest } = attempt.record ?? {};
    const told: Outcome = 'killAtUptimeMs' in outcome ? { cause: outcome.cause, reason: outcome.reason } : outcome;
    attempt.phase = 'ended';
    attempt.outcome = imageDigest === undefined || imageDigest === '' ? told : { ...told, imageDigest };
    attempt.started.resolve({ state: 'ended', outcome: attempt.outcome });
    this.emit('ended', attempt.key, attempt.outcome);
  }

  #stop(attempt: ContainerAttempt, cause: StopRecord['cause'], options: StopOptions): void {
    const killAtUptimeMs = uptimeMs() + options.graceSeconds * 1000;
    const previous = attempt.stop;
    // A second stop may shorten the grace, and never changes why it was stopped.
    attempt.stop = {
      cause: previous?.cause ?? cause,
      reason: previous?.reason ?? options.reason,
      killAtUptimeMs: Math.min(previous?.killAtUptimeMs ?? killAtUptimeMs, killAtUptimeMs),
    };
    if (attempt.phase === 'preparing') {
      attempt.cancel.abort(new Error(options.reason));
      return;
    }
    writeStopRecord(attempt.directory, attempt.stop);
    if (attempt.phase === 'running') this.#background(this.#signal(attempt));
  }

  /** Repeated by the sweep until the engine has taken it. */
  async #signal(attempt: ContainerAttempt): Promise<void> {
    const { stop, record } = attempt;
    if (stop === undefined || attempt.phase !== 'running' || attempt.signalling === true) return;
    const signal = stop.killAtUptimeMs <= uptimeMs() ? 'SIGKILL' : (record?.stopSignal ?? 'SIGTERM');
    if (attempt.signalled === signal) return;
    attempt.signalling = true;
    try {
      await this.#reach().calls.kill(attempt.id ?? this.#nameOf(attempt.key), signal);
      attempt.signalled = signal;
    } catch {
      await this.#pause();
    } finally {
      attempt.signalling = false;
    }
  }

  #onSweep(): void {
    const now = uptimeMs();
    for (const attempt of this.#attempts.values()) {
      if (attempt.phase !== 'running') continue;
      if (attempt.stop !== undefined) {
        this.#background(this.#signal(attempt));
        continue;
      }
      const { timeoutSeconds, stopGraceSeconds = 0 } = attempt.record ?? {};
      if (timeoutSeconds === undefined || attempt.startedAtUptimeMs === undefined) continue;
      if (now < attempt.startedAtUptimeMs + timeoutSeconds * 1000) continue;
      this.#stop(attempt, 'timed_out', { graceSeconds: stopGraceSeconds, reason: REASON_TIMED_OUT });
    }
  }

  #sample(): void {
    for (const attempt of this.#attempts.values()) if (attempt.phase === 'running') this.#sampleOne(attempt);
  }

  #sampleOne(attempt: ContainerAttempt): void {
    if (attempt.groups === undefined) return;
    attempt.counters = mergeCounters(attempt.counters, readCounters(attempt.groups));
  }

  /** The end of its output says that a container is over; where that does not come (it was removed), the list does. */
  async #findEnded(): Promise<void> {
    const running = [...this.#attempts.values()].filter(({ phase }) => phase === 'running');
    if (running.length === 0 || this.engine.name === 'down') return;
    try {
      const before = new Set(running.filter(({ follow }) => follow !== undefined));
      const listed = await this.#reach().calls.list(this.#options.incarnation);
      const going = new Set(listed.flatMap(({ id, running: goes }) => (goes ? id : [])));
      // The output may be nearly through: it gets until the next look.
      for (const attempt of before) {
        if (attempt.id === undefined || going.has(attempt.id) || attempt.phase !== 'running') continue;
        const { follow } = attempt;
        await sleep(RETRY_MS, undefined, { signal: this.#closing.signal });
        if (follow !== undefined && attempt.follow === follow) follow.abort();
      }
    } catch {
      // Away: the next look tells more.
    }
  }

  /** Removes what an agent before this one, or an engine that was away, has left. */
  async #cleanUp(): Promise<void> {
    if (!this.#attached || this.engine.name === 'down') return;
    try {
      const { calls } = this.#reach();
      for (const { id, key } of await calls.list(this.#options.incarnation)) {
        if (this.#attempts.has(key) || this.#closing.signal.aborted) continue;
        await calls.remove(id);
      }
      this.#groups.removeAllBut(new Set(this.#attempts.keys()));
    } catch {
      // Away, or busy with it: again at the next clean-up.
    }
  }

  async #discard({ id, key, record }: ContainerAttempt): Promise<void> {
    try {
      if (id !== undefined) await this.#reach().calls.remove(id);
      if (record?.group !== undefined && !this.#attempts.has(key)) this.#groups.remove(record.group);
    } catch {
      // Left to the clean-up.
    }
  }

  #reach(): { info: EngineInfo; calls: ContainerCalls } {
    const { state } = this.#health;
    if (state.name === 'down') throw new EngineError('unavailable', state.reason);
    return { info: state.info, calls: new ContainerCalls(state.info.engine, this.#deadlines) };
  }

  #nameOf(key: string): string {
    return `galley-${this.#options.incarnation.slice(0, 8)}-${key}`;
  }

  async #pause(tries = Number.POSITIVE_INFINITY): Promise<void> {
    await sleep(Math.min(RETRY_MS, FIRST_RETRY_MS * 2 ** tries), undefined, { signal: this.#closing.signal }).catch(
      () => undefined,
    );
  }

  #background(work: Promise<void>): void {
    const kept = work.finally(() => this.#working.delete(kept));
    this.#working.add(kept);
  }
}

const CONTAINER_GONE: Outcome = {
  cause: 'lost',
  reason: 'The exit code is unknown: somebody removed the container from its engine',
};
const HOST_RESTARTED: Outcome = {
  cause: 'host_restarted',
  reason: 'The host was restarted before an exit code was written',
};

function neverBegun(why: string): Outcome {
  return { cause: 'not_started', reason: `The attempt was never begun: ${why}` };
}

/** Nothing was claimed, so nothing ran: an engine that is away costs the job no attempt. */
function notBegun(error: unknown): Outcome {
  if (error instanceof EngineError && error.code !== 'refused') {
    return { ...neverBegun(error.message), retryAfterMs: ENGINE_RETRY_MS };
  }
  return launchFailed(error);
}

function startFailed(error: unknown, startMs: number): Outcome {
  if (error instanceof EngineError && error.code === 'timeout') return launchFailed(timedOut('started', startMs));
  if (error instanceof EngineError && error.code === 'unavailable') {
    return { ...neverBegun(error.message), retryAfterMs: ENGINE_RETRY_MS };
  }
  return launchFailed(error);
}

function launchFailed(error: unknown): Outcome {
  const text = error instanceof Error ? error.message : String(error);
  const reason = error instanceof ContainerError ? text : `CannotStartContainerError: ${text}`;
  return { cause: 'launch_failed', reason };
}

/** Open to whomever the container runs as; the attempt's directory around it is closed to everybody else. */
async function makeScratch(launch: AttemptLaunch, container: ContainerLaunch): Promise<void> {
  for (const mount of container.mounts) {
    if (mount.hostPath !== undefined) continue;
    const directory = scratchDirectory(launch.directory, mount);
    await mkdir(directory, { recursive: true, mode: 0o711 });
    await chmod(directory, 0o777);
  }
}
