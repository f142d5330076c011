import { EventEmitter } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import {
  type AttemptId,
  AttemptIdSchema,
  AttemptPhase,
  type AttemptReport,
  type Inventory,
  OnNodeLost,
  type Placement,
  PlacementSchema,
  type StorePosition,
} from '@galley/proto';
import type { Logger } from 'pino';
import { type AttemptKey, attemptIdFault, attemptKey } from '../journal/attempt-key.ts';
import type { Journal } from '../journal/journal.ts';
import type { Arrival, JournalRecord } from '../journal/records.ts';
import type { Outcome, Runtime, RuntimeName } from '../runtimes/runtime.ts';
import { admit, emptyHeld, hold } from './admission.ts';
import { type Attempt, attemptReport, type Phase, startDelay } from './attempt.ts';
import { attemptLaunch, runtimeOf, stopGraceSeconds } from './launch.ts';
import type { ToldEnd } from './report-queue.ts';
import { endedReport, LEASE_EXPIRED, rejectedReport } from './reports.ts';

/** Attempts that are being started at once: what is beyond waits, accepted. An engine that hangs holds up its own only. */
const MAX_STARTING: Readonly<Record<RuntimeName, number>> = { process: 64, container: 16 };
/** A job that the node itself has to stop gets this long between SIGTERM and SIGKILL. */
const NODE_STOP_GRACE_SECONDS = 5;
/** A process that does not die holds what it has; it is looked at this often. */
const LEFT_BEHIND_MS = 5_000;
/** Stops of attempts that never came, kept for the case that they come late. */
const MAX_NEVER_START = 10_000;
/** A node whose state directory takes no new attempt is not asked again for so long. */
const NO_DIRECTORY_RETRY_MS = 30_000;
const NOT_STARTED_RETRY_MS = 1_000;

/** What the attempts need of the logs. */
export interface AttemptLogs {
  /** Follow what this attempt writes. */
  open(attempt: LogSource): void;
  /** Final length of each stream in bytes, by LogStream value from OUTPUT; the rest is shipped from the directory. */
  finish(key: AttemptKey): Promise<readonly number[]>;
  /** It never ran: removes its directory. */
  discard(key: AttemptKey): Promise<void>;
}

export interface LogSource {
  readonly key: AttemptKey;
  readonly jobNumber: bigint;
  readonly separateStreams: boolean;
}

export interface AttemptsOptions {
  readonly directory: string;
  readonly node: string;
  readonly bootId: string;
  readonly uptimeMs: () => number;
  readonly journal: Journal;
  readonly runtime: Runtime;
  readonly logs: AttemptLogs;
  readonly inventory: () => Inventory;
  readonly allowUnlimited: boolean;
  /** Why no container can be started now, or undefined. */
  readonly containerFault: () => string | undefined;
  readonly log: Logger;
}

/** What to stop, why, and with which grace (default: the job's own). */
export interface StopRequest {
  readonly id: AttemptId;
  readonly reason: string;
  readonly graceSeconds?: number;
}

interface AttemptsEvents {
  /** Something about this attempt is to be reported; `urgent`: the control plane waits for it. */
  report: [key: AttemptKey, urgent: boolean];
  /** The report of an attempt that is remembered but not held any more. */
  remembered: [report: AttemptReport];
  /** The control plane has everything about it; its directory may go once its logs are shipped. */
  forgotten: [key: AttemptKey];
}

/**
 * Every attempt that this node holds, from placement to acknowledged end. The order on the host is always: intent durable,
 * ACCEPTED reported, supervisor started; end durable, resources given back, ENDED reported; acked, forgotten.
 */
export class Attempts extends EventEmitter<AttemptsEvents> {
  readonly #options: AttemptsOptions;
  readonly #attempts = new Map<AttemptKey, Attempt>();
  readonly #held = emptyHeld();
  readonly #lanes: Readonly<Record<RuntimeName, { readonly queue: Attempt[]; starting: number }>> = {
    process: { queue: [], starting: 0 },
    container: { queue: [], starting: 0 },
  };
  readonly #timers = new Set<NodeJS.Timeout>();
  /** Stopped before they came. */
  readonly #neverStart = new Set<AttemptKey>();
  /** The highest placement sequence seen, durable or on its way there. */
  #watermark: bigint;
  #closed = false;

  constructor(options: AttemptsOptions) {
    super();
    this.#options = options;
    this.#watermark = options.journal.watermark;
    options.runtime.on('started', (key, at) => this.#onStarted(key, at));
    options.runtime.on('ended', (key, outcome) => this.#onEnded(key, outcome));
  }

  /** Takes up what an earlier agent left; once, before the first session. */
  async recover(): Promise<void> {
    const { journal, runtime, directory } = this.#options;
    const open: Attempt[] = [];
    for (const [key, held] of journal.attempts) {
      if (held.state === 'open') {
        open.push(this.#add(key, held.placement, held.arrival, { name: 'starting' }));
        hold(this.#held, held.placement, 1);
      } else {
        const { report, endedAtMs } = held;
        const placement = create(PlacementSchema, report.id === undefined ? {} : { id: report.id });
        const attempt = this.#add(key, placement, { bootId: '', uptimeMs: 0 }, { name: 'ended', report });
        attempt.placement = undefined;
        attempt.resourcesReleased = true;
        attempt.changedAtUptimeMs -= Math.max(0, Date.now() - endedAtMs);
      }
    }
    for (const attempt of open) this.#openLogs(attempt);
    const attached = await runtime.attach(
      open.map(({ key, arrival, placement }) => ({
        key,
        directory: join(directory, key),
        bootId: arrival.bootId,
        runtime: runtimeOf(placement),
      })),
    );
    for (const result of attached) {
      if (result.state === 'ended') this.#onEnded(result.key, result.outcome);
      else if (result.startedAtUptimeMs !== undefined) this.#onStarted(result.key, result.startedAtUptimeMs);
    }
  }

  /** The final reports that are not acked. */
  *ended(): Generator<{ key: AttemptKey; report: AttemptReport }> {
    for (const { key, phase } of this.#attempts.values()) {
      if (phase.name === 'ended') yield { key, report: phase.report };
    }
  }

  /** Attempts whose processes may run. */
  get running(): number {
    let count = 0;
    for (const { phase } of this.#attempts.values()) {
      if (phase.name === 'running' || phase.name === 'starting') count++;
    }
    return count;
  }

  keys(): IterableIterator<AttemptKey> {
    return this.#attempts.keys();
  }

  /** The attempt's state as it is to be sent now; undefined when there is nothing to say. */
  report(key: AttemptKey): AttemptReport | undefined {
    const attempt = this.#attempts.get(key);
    return attempt === undefined ? undefined : attemptReport(attempt, this.#options.uptimeMs());
  }

  /** Takes placements in the order of arrival; those that were seen before change nothing and are reported again. */
  async place(placements: readonly Placement[], position: StorePosition | undefined): Promise<void> {
    const { journal, log, bootId, uptimeMs } = this.#options;
    const arrival = { bootId, uptimeMs: uptimeMs() };
    const records: JournalRecord[] = [];
    const fresh: Attempt[] = [];
    const forgotten: Placement[] = [];
    for (const placement of placements) {
      const fault = attemptIdFault(placement.id);
      if (placement.id === undefined || fault !== undefined) {
        log.error({ sequence: placement.sequence }, `a placement cannot be taken: ${fault}`);
        continue;
      }
      const key = attemptKey(placement.id);
      // A view of the whole message would keep it in memory for as long as the job runs.
      placement.id.jobId = Uint8Array.from(placement.id.jobId);
      if (this.#attempts.has(key) && !this.#isPlacedAgain(key, placement)) {
        this.emit('report', key, true);
      } else if (placement.sequence <= this.#watermark) {
        forgotten.push(placement);
      } else {
        this.#watermark = placement.sequence;
        records.push(this.#decide(key, placement, arrival, fresh));
      }
    }
    const witness = journal.witnessRecord(position);
    if (witness !== undefined && records.length > 0) records.push(witness);
    else journal.witnessed(position);
    await journal.append(records);
    for (const attempt of fresh) this.#settle(attempt);
    if (forgotten.length > 0) await this.#remember(forgotten);
  }

  /** Idempotent. What has not begun never will. */
  async stop(stop: StopRequest): Promise<void> {
    const { runtime } = this.#options;
    const key = attemptKey(stop.id);
    const attempt = this.#attempts.get(key);
    if (attempt === undefined) {
      await this.#stopUnknown(key, stop);
      return;
    }
    const reason = stop.reason === '' ? 'Stopped' : stop.reason;
    switch (attempt.phase.name) {
      case 'accepting':
        attempt.stopReason ??= reason;
        return;
      case 'accepted':
        this.#endUnstarted(attempt, reason);
        return;
      case 'starting':
      case 'running': {
        const usual = attempt.placement === undefined ? 0 : stopGraceSeconds(attempt.placement);
        runtime.stop(attempt.key, { graceSeconds: stop.graceSeconds ?? usual, reason });
        return;
      }
      case 'ending':
        return;
      case 'ended':
        this.emit('report', attempt.key, true);
        return;
    }
  }

  /** Stops a job on the node's own account; the reason decides the cause (see reports.ts). */
  stopFor(key: AttemptKey, reason: string): void {
    const attempt = this.#attempts.get(key);
    if (attempt !== undefined) void this.stop({ id: attempt.id, reason, graceSeconds: NODE_STOP_GRACE_SECONDS });
  }

  /** The lease is over: jobs that may be run again elsewhere are stopped here. */
  stopFenced(): void {
    for (const attempt of this.#attempts.values()) {
      if (isFenced(attempt)) this.stopFor(attempt.key, LEASE_EXPIRED);
    }
  }

  /** Whether any attempt depends on the lease. */
  get fenced(): boolean {
    for (const attempt of this.#attempts.values()) if (isFenced(attempt)) return true;
    return false;
  }

  /** The control plane has this end, durably. An attempt that was rejected may have been placed again meanwhile. */
  acked({ key, placementSequence, released }: Pick<ToldEnd, 'key' | 'released'> & Partial<ToldEnd>): void {
    const attempt = this.#attempts.get(key);
    if (attempt?.phase.name !== 'ended') return;
    if (placementSequence !== undefined && attempt.phase.report.placementSequence !== placementSequence) return;
    this.#options.journal.acked([key]);
    if (!released) return;
    this.#attempts.delete(key);
    this.emit('forgotten', key);
  }

  /** Those of the attempts that are not held but remembered are reported again. */
  async reportRemembered(keys: ReadonlySet<AttemptKey>): Promise<void> {
    const missing = new Set([...keys].filter((key) => !this.#attempts.has(key)));
    for (const { report } of (await this.#options.journal.remembered(missing)).values()) {
      this.emit('remembered', report);
    }
  }

  close(): void {
    this.#closed = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }

  /** A rejection uses up no attempt: the same one may come again with a placement of its own. */
  #isPlacedAgain(key: AttemptKey, placement: Placement): boolean {
    const phase = this.#attempts.get(key)?.phase;
    return (
      phase?.name === 'ended' &&
      phase.report.phase === AttemptPhase.REJECTED &&
      placement.sequence > phase.report.placementSequence
    );
  }

  /** Accepts or rejects one placement; either way there is an attempt and a record of it. */
  #decide(key: AttemptKey, placement: Placement, arrival: Arrival, fresh: Attempt[]): JournalRecord {
    const { inventory, runtime, allowUnlimited, containerFault } = this.#options;
    const { limits } = runtime.description;
    const rules = { inventory: inventory(), limits, allowUnlimited, containerFault: containerFault() };
    const rejection = this.#neverStart.has(key)
      ? { reason: 'Stopped before it was placed', retryAfterMs: NOT_STARTED_RETRY_MS }
      : admit(placement, this.#held, rules);
    const attempt = this.#add(key, placement, arrival, { name: 'accepting' });
    fresh.push(attempt);
    if (rejection === undefined) {
      hold(this.#held, placement, 1);
      return { kind: 'intent', placement, arrival };
    }
    const report = rejectedReport(placement, rejection.reason, rejection.retryAfterMs);
    attempt.rejected = report;
    return { kind: 'end', report, endedAtMs: Date.now() };
  }

  /** The decision is durable. */
  #settle(attempt: Attempt): void {
    if (attempt.rejected !== undefined) {
      attempt.resourcesReleased = true;
      this.#enter(attempt, { name: 'ended', report: attempt.rejected });
      attempt.placement = undefined;
      return;
    }
    this.#enter(attempt, { name: 'accepted' });
    if (attempt.stopReason !== undefined) {
      this.#endUnstarted(attempt, attempt.stopReason);
      return;
    }
    const runtime = runtimeOf(attempt.placement);
    this.#lanes[runtime].queue.push(attempt);
    this.#startNext(runtime);
  }

  #startNext(runtime: RuntimeName): void {
    const lane = this.#lanes[runtime];
    while (lane.starting < MAX_STARTING[runtime] && !this.#closed) {
      const attempt = lane.queue.shift();
      if (attempt === undefined) return;
      if (attempt.phase.name !== 'accepted') continue;
      lane.starting++;
      void this.#start(attempt).finally(() => {
        lane.starting--;
        this.#startNext(runtime);
      });
    }
  }

  async #start(attempt: Attempt): Promise<void> {
    const { directory, node, runtime } = this.#options;
    const { key, id, placement } = attempt;
    const place = { key, id, node, directory: join(directory, key) };
    try {
      await mkdir(place.directory, { mode: 0o700 });
    } catch (error) {
      // Nothing has begun: another node may take it.
      if (attempt.phase.name === 'accepted') this.#rejectUnstarted(attempt, `${message(error)}`, NO_DIRECTORY_RETRY_MS);
      return;
    }
    if (attempt.phase.name !== 'accepted' || placement === undefined || this.#closed) return;
    // To the control plane it is accepted all the same: nothing to report.
    attempt.phase = { name: 'starting' };
    this.#openLogs(attempt);
    try {
      const started = await runtime.start(attemptLaunch(placement, place));
      if (started.state === 'running') this.#onStarted(key, started.startedAtUptimeMs);
      else this.#onEnded(key, started.outcome);
    } catch (error) {
      if (!this.#closed) this.#onEnded(key, { cause: 'launch_failed', reason: message(error) });
    }
  }

  #onStarted(key: AttemptKey, startedAtUptimeMs: number): void {
    const attempt = this.#attempts.get(key);
    if (attempt?.phase.name !== 'starting') return;
    this.#enter(attempt, { name: 'running', startedAtUptimeMs });
  }

  #onEnded(key: AttemptKey, outcome: Outcome): void {
    const attempt = this.#attempts.get(key);
    if (attempt?.placement === undefined) return;
    if (attempt.phase.name !== 'starting' && attempt.phase.name !== 'running') return;
    const { placement } = attempt;
    if (outcome.cause === 'not_started') {
      const retryAfterMs = outcome.retryAfterMs ?? NOT_STARTED_RETRY_MS;
      void this.#end(attempt, rejectedReport(placement, outcome.reason, retryAfterMs), false);
      return;
    }
    const sameBoot = attempt.arrival.bootId === this.#options.bootId;
    const started = outcome.startedAtUptimeMs;
    const delay = started === undefined || !sameBoot ? 0 : startDelay(attempt.arrival, started);
    const ran = outcome.runDurationMs;
    // It may have ended long ago, while no agent was there to see it.
    const endedAtUptimeMs = started === undefined || ran === undefined || !sameBoot ? undefined : started + ran;
    void this.#end(attempt, endedReport(placement, outcome, delay), outcome.leftBehind === true, endedAtUptimeMs);
  }

  #endUnstarted(attempt: Attempt, reason: string): void {
    if (attempt.placement === undefined) return;
    void this.#end(attempt, endedReport(attempt.placement, { cause: 'stopped', reason }, 0), false);
  }

  #rejectUnstarted(attempt: Attempt, reason: string, retryAfterMs: number): void {
    if (attempt.placement === undefined) return;
    void this.#end(attempt, rejectedReport(attempt.placement, reason, retryAfterMs), false);
  }

  /** Durable first, then the resources, then the report. */
  async #end(attempt: Attempt, report: AttemptReport, leftBehind: boolean, endedAt?: number): Promise<void> {
    const { journal, logs, uptimeMs, log } = this.#options;
    const begun = attempt.phase.name === 'starting' || attempt.phase.name === 'running';
    const nowUptimeMs = uptimeMs();
    const endedAtUptimeMs = Math.min(nowUptimeMs, endedAt ?? nowUptimeMs);
    const endedAtMs = Math.round(Date.now() - (nowUptimeMs - endedAtUptimeMs));
    attempt.phase = { name: 'ending' };
    try {
      report.logLengths = begun ? (await logs.finish(attempt.key)).map(BigInt) : [];
      if (report.phase === AttemptPhase.REJECTED) report.logLengths = [];
      await journal.append([{ kind: 'end', report, endedAtMs }]);
    } catch (error) {
      // Only a journal that is closed refuses: the next agent finds the same end in the attempt's directory.
      if (!this.#closed) log.error({ err: error, attempt: attempt.key }, 'the end of an attempt was not written down');
      return;
    }
    if (leftBehind) this.#awaitLeftBehind(attempt);
    else await this.#release(attempt);
    // The same attempt may be placed here again and must then find no trace of this one.
    if (report.phase === AttemptPhase.REJECTED) await logs.discard(attempt.key);
    this.#enter(attempt, { name: 'ended', report }, endedAtUptimeMs);
  }

  async #release(attempt: Attempt): Promise<void> {
    const { runtime, log } = this.#options;
    try {
      await runtime.release(attempt.key);
    } catch (error) {
      log.error({ err: error, attempt: attempt.key }, 'the resources of an attempt were not given back');
    }
    attempt.resourcesReleased = true;
    if (attempt.placement !== undefined) hold(this.#held, attempt.placement, -1);
    attempt.placement = undefined;
  }

  /** Something of it hangs in the kernel and holds memory: its room is not offered before that is gone. */
  #awaitLeftBehind(attempt: Attempt): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if ((this.#options.runtime.usage(attempt.key)?.processes ?? 0) > 0) {
        this.#awaitLeftBehind(attempt);
        return;
      }
      void this.#release(attempt).then(() => this.emit('report', attempt.key, true));
    }, LEFT_BEHIND_MS);
    this.#timers.add(timer);
  }

  /** A stop for what is not held: over and remembered, or never seen; then it must not begin when it arrives late. */
  async #stopUnknown(key: AttemptKey, stop: StopRequest): Promise<void> {
    const { journal, bootId, uptimeMs } = this.#options;
    const remembered = await journal.remembered(new Set([key]));
    for (const { report } of remembered.values()) this.emit('remembered', report);
    if (remembered.size > 0 || this.#attempts.has(key)) return;
    if (this.#neverStart.size >= MAX_NEVER_START) this.#neverStart.clear();
    this.#neverStart.add(key);
    const placement = create(PlacementSchema, { id: stop.id });
    const report = rejectedReport(placement, stop.reason, NOT_STARTED_RETRY_MS);
    const attempt = this.#add(key, placement, { bootId, uptimeMs: uptimeMs() }, { name: 'accepting' });
    attempt.rejected = report;
    await journal.append([{ kind: 'end', report, endedAtMs: Date.now() }]);
    this.#settle(attempt);
  }

  /** Placements at or below the watermark that are not held: they were here. Their end is told again if it is still known. */
  async #remember(placements: readonly Placement[]): Promise<void> {
    const { journal, bootId, uptimeMs, log } = this.#options;
    const byKey = new Map(placements.flatMap((p) => (p.id === undefined ? [] : [[attemptKey(p.id), p] as const])));
    const remembered = await journal.remembered(new Set(byKey.keys()));
    for (const [key, placement] of byKey) {
      const known = remembered.get(key);
      if (known !== undefined) {
        this.emit('remembered', known.report);
        continue;
      }
      if (this.#attempts.has(key)) continue;
      log.warn({ attempt: key, sequence: placement.sequence }, 'a placement came again after its end was forgotten');
      const reason = 'Placed a second time after this node had forgotten it: what became of it is unknown';
      const report = endedReport(placement, { cause: 'host_restarted', reason }, 0);
      const attempt = this.#add(key, placement, { bootId, uptimeMs: uptimeMs() }, { name: 'accepting' });
      attempt.rejected = report;
      await journal.append([{ kind: 'end', report, endedAtMs: Date.now() }]);
      this.#settle(attempt);
    }
  }

  #add(key: AttemptKey, placement: Placement, arrival: Arrival, phase: Phase): Attempt {
    const attempt: Attempt = {
      key,
      id: placement.id ?? create(AttemptIdSchema),
      arrival,
      placement,
      phase,
      changedAtUptimeMs: this.#options.uptimeMs(),
      stopReason: undefined,
      rejected: undefined,
      resourcesReleased: false,
    };
    this.#attempts.set(key, attempt);
    return attempt;
  }

  #enter(attempt: Attempt, phase: Phase, atUptimeMs = this.#options.uptimeMs()): void {
    attempt.phase = phase;
    attempt.changedAtUptimeMs = atUptimeMs;
    this.emit('report', attempt.key, phase.name === 'ended');
  }

  #openLogs({ key, placement }: Attempt): void {
    if (placement === undefined) return;
    this.#options.logs.open({
      key,
      jobNumber: placement.jobNumber,
      separateStreams: placement.task?.separateStreams === true,
    });
  }
}

function isFenced({ placement, phase }: Attempt): boolean {
  return placement?.onNodeLost === OnNodeLost.FENCED && phase.name !== 'ending' && phase.name !== 'ended';
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
