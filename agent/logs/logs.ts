import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { LogStream } from '@galley/proto';
import type { Logger } from 'pino';
import { withDeadline } from '../heartbeat/deadline.ts';
import type { DiskGauge } from '../heartbeat/disk.ts';
import { type AttemptKey, parseAttemptKey } from '../journal/attempt-key.ts';
import type { AttemptLogs, LogSource } from '../session/attempts.ts';
import type { ControlPlaneAddress } from '../session/connection.ts';
import { DISK_FULL } from '../session/reports.ts';
import { OutputStream, type SavedStream, streamsOf } from './log-stream.ts';
import { diskFloor, LOG_POLICY, type LogPolicy } from './policy.ts';
import { LogPositions, type SavedAttempt } from './positions.ts';
import { punchHole } from './punch.ts';
import { LogRetention } from './retention.ts';
import { LogShipper } from './shipper.ts';
import { fileSize, GrowthWatcher } from './watcher.ts';

/** Acked positions are written down this often. */
const SAVE_MS = 1_000;
/** How often the disk is asked whether a flood has to be stopped. */
const DISK_MS = 2_000;
/** How long the end of an attempt waits for the length of its files. */
const LENGTH_DEADLINE_MS = 2_000;

export interface AgentLogsOptions {
  /** The agent's state directory and, below it, that of the attempts. */
  readonly stateDirectory: string;
  readonly directory: string;
  readonly plane: ControlPlaneAddress;
  readonly node: string;
  readonly account: string;
  readonly incarnation: string;
  readonly disk: DiskGauge;
  readonly log: Logger;
  readonly policy?: LogPolicy;
}

/** An attempt that is over, as its last report says. */
export interface EndedSource {
  readonly key: AttemptKey;
  readonly jobNumber: bigint;
  /** By LogStream value from OUTPUT. */
  readonly lengths: readonly number[];
}

interface Followed {
  readonly key: AttemptKey;
  readonly streams: readonly OutputStream[];
  /** The control plane has the attempt's end. */
  forgotten: boolean;
}

/** Follows, ships, bounds and finally removes what the jobs of this node write. */
export class AgentLogs implements AttemptLogs {
  readonly #options: AgentLogsOptions;
  readonly #policy: LogPolicy;
  readonly #positions: LogPositions;
  readonly #shipper: LogShipper;
  readonly #watcher: GrowthWatcher;
  readonly #retention: LogRetention;
  readonly #followed = new Map<AttemptKey, Followed>();
  readonly #unsaved = new Set<AttemptKey>();
  /** To be written down with the next save. */
  readonly #retired: SavedAttempt[] = [];
  readonly #punching = new Set<OutputStream>();
  readonly #timers: NodeJS.Timeout[] = [];
  #saving: Promise<void> = Promise.resolve();
  #stopFor: (key: AttemptKey, reason: string) => void = () => undefined;

  private constructor(options: AgentLogsOptions, positions: LogPositions) {
    this.#options = options;
    this.#policy = options.policy ?? LOG_POLICY;
    this.#positions = positions;
    this.#watcher = new GrowthWatcher((stream) => this.#onGrowth(stream));
    this.#shipper = new LogShipper({
      plane: options.plane,
      node: options.node,
      account: options.account,
      incarnation: options.incarnation,
      log: options.log,
      streams: () => this.#streams(),
      find: (key, kind) => this.#followed.get(key)?.streams.find(({ stream }) => stream === kind),
      onAcked: (stream) => this.#onAcked(stream),
    });
    this.#retention = new LogRetention({
      directory: options.directory,
      policy: this.#policy,
      log: options.log,
      spacious: () => this.#free() > this.#policy.retentionFloors,
      onRemoved: (keys) => void positions.remove(keys).catch(() => undefined),
    });
  }

  static async open(options: AgentLogsOptions): Promise<AgentLogs> {
    const logs = new AgentLogs(options, await LogPositions.open(options.stateDirectory));
    await options.disk.measure();
    logs.#timers.push(setInterval(() => void logs.#save(), SAVE_MS));
    logs.#timers.push(setInterval(() => void logs.#guardDisk(), DISK_MS));
    return logs;
  }

  /**
   * Takes up what is left in the attempts directory beside what runs: logs that are not shipped, or not old enough to go.
   * `ended` are the attempts whose end is not acked yet, `remembered` looks up those whose end is: positions are written
   * down once a second, so that the last ones may be missing.
   */
  async recover(
    ended: readonly EndedSource[],
    remembered: (keys: ReadonlySet<AttemptKey>) => Promise<readonly EndedSource[]>,
  ): Promise<void> {
    const held = new Map(ended.map((source) => [source.key, source]));
    const names = new Set(await readdir(this.#options.directory));
    const unknown = new Set<AttemptKey>();
    for (const key of names) {
      if (this.#followed.has(key) || parseAttemptKey(key) === undefined) continue;
      const saved = this.#positions.saved.get(key);
      const source = held.get(key);
      if (saved !== undefined && saved.retiredAtMs > 0) this.#retention.retire(key, saved.retiredAtMs);
      else if (source !== undefined) this.#recover(source, saved, false);
      else unknown.add(key);
    }
    const sources = await remembered(unknown);
    for (const source of sources) {
      unknown.delete(source.key);
      this.#recover(source, this.#positions.saved.get(source.key), true);
    }
    // Nobody waits for what is in these any more: never begun, or too long ago to be remembered.
    for (const key of unknown) this.#retention.retire(key, 0);
    const lost = [...this.#positions.saved.keys()].filter((key) => !names.has(key));
    if (lost.length > 0) await this.#positions.remove(lost);
    void this.#retention.sweep();
  }

  /** Who stops a job whose output fills the disk. */
  onDiskFull(stopFor: (key: AttemptKey, reason: string) => void): void {
    this.#stopFor = stopFor;
  }

  /** Logs travel only while the session has found the control plane to be ours. */
  allow(live: boolean): void {
    this.#shipper.allow(live);
  }

  open(source: LogSource): void {
    const followed = this.#follow(source, this.#positions.saved.get(source.key)?.streams);
    this.#unsaved.add(source.key);
    for (const stream of followed.streams) this.#watcher.add(stream);
  }

  async finish(key: AttemptKey): Promise<readonly number[]> {
    const followed = this.#followed.get(key);
    if (followed === undefined) return [];
    const lengths: number[] = [];
    for (const stream of followed.streams) {
      this.#watcher.remove(stream);
      const asked = fileSize(stream.path);
      const size = await withDeadline('the length of a log', LENGTH_DEADLINE_MS, asked).catch(() => stream.size);
      stream.size = Math.max(size, stream.size);
      stream.final = stream.size;
      lengths[stream.stream - LogStream.OUTPUT] = stream.final;
      this.#shipper.offer(stream);
    }
    this.#unsaved.add(key);
    return Array.from(lengths, (length: number | undefined) => length ?? 0);
  }

  async discard(key: AttemptKey): Promise<void> {
    for (const stream of this.#followed.get(key)?.streams ?? []) this.#watcher.remove(stream);
    this.#followed.delete(key);
    this.#unsaved.delete(key);
    await this.#positions.remove([key]).catch(() => undefined);
    await rm(join(this.#options.directory, key), { recursive: true, force: true }).catch((error: unknown) => {
      this.#options.log.warn({ err: error, attempt: key }, 'the directory of an attempt could not be removed');
    });
  }

  /** The control plane has the attempt's end. */
  forget(key: AttemptKey): void {
    const followed = this.#followed.get(key);
    if (followed === undefined) {
      this.#retention.retire(key, 0);
      return;
    }
    followed.forgotten = true;
    this.#retireIfDone(followed);
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#watcher.close();
    await this.#shipper.close();
    await this.#retention.close();
    await this.#save();
    await this.#positions.close();
  }

  #recover({ key, jobNumber, lengths }: EndedSource, saved: SavedAttempt | undefined, forgotten: boolean): void {
    const followed = this.#follow({ key, jobNumber, separateStreams: lengths.length > 1 }, saved?.streams);
    followed.forgotten = forgotten;
    for (const stream of followed.streams) {
      stream.final = lengths[stream.stream - LogStream.OUTPUT] ?? 0;
      this.#shipper.offer(stream);
    }
    this.#unsaved.add(key);
    this.#retireIfDone(followed);
  }

  #follow(source: LogSource, known: readonly SavedStream[] = []): Followed {
    const { key, jobNumber, separateStreams } = source;
    const id = parseAttemptKey(key);
    if (id === undefined) throw new Error(`${key} is not the key of an attempt`);
    const attempt = { key, id, jobNumber, directory: join(this.#options.directory, key) };
    const streams = streamsOf(separateStreams).map((kind) => {
      const before = known.find(({ stream }) => stream === kind);
      return new OutputStream(attempt, kind, this.#policy, before);
    });
    const followed: Followed = { key, streams, forgotten: false };
    this.#followed.set(key, followed);
    return followed;
  }

  *#streams(): Generator<OutputStream> {
    for (const { streams } of this.#followed.values()) yield* streams;
  }

  #onGrowth(stream: OutputStream): void {
    this.#shipper.offer(stream);
    if (stream.nextGapEnd() > 0) void this.#giveWay(stream);
  }

  #onAcked(stream: OutputStream): void {
    this.#unsaved.add(stream.key);
    const followed = this.#followed.get(stream.key);
    if (followed !== undefined) this.#retireIfDone(followed);
  }

  /** The middle of a flood: written down durably before the file loses it, so that no zeros are ever shipped for it. */
  async #giveWay(stream: OutputStream): Promise<void> {
    const followed = this.#followed.get(stream.key);
    const to = stream.nextGapEnd();
    if (followed === undefined || to === 0 || this.#punching.has(stream)) return;
    const from = Math.max(this.#policy.headBytes, stream.gapTo);
    this.#punching.add(stream);
    try {
      stream.gapTo = to;
      await this.#positions.put([saved(followed, 0)], true);
      await punchHole(stream.path, from, to);
    } catch (error) {
      this.#options.log.warn({ err: error, attempt: stream.key }, 'the middle of a flooding log keeps its disk space');
    } finally {
      this.#punching.delete(stream);
    }
  }

  /** Free space in multiples of the floor; infinite while unknown. */
  #free(): number {
    const space = this.#options.disk.latest;
    if (space === undefined) return Number.POSITIVE_INFINITY;
    return space.freeBytes / Math.max(1, diskFloor(this.#policy, space.totalBytes));
  }

  async #guardDisk(): Promise<void> {
    await this.#options.disk.measure();
    if (this.#free() >= 1) return;
    void this.#retention.sweep();
    let worst: OutputStream | undefined;
    for (const stream of this.#watcher.streams) {
      if (stream.onDisk > Math.max(this.#policy.floodBytes, worst?.onDisk ?? 0)) worst = stream;
    }
    if (worst === undefined) return;
    const mebibytes = Math.round(worst.onDisk / 1024 / 1024);
    this.#options.log.error(
      { attempt: worst.key, mebibytes },
      'the disk is nearly full: the job that floods it is stopped',
    );
    this.#stopFor(worst.key, `${DISK_FULL} (${mebibytes} MiB on disk)`);
  }

  #retireIfDone(followed: Followed): void {
    if (!followed.forgotten || !followed.streams.every((stream) => stream.shipped)) return;
    const now = Date.now();
    this.#followed.delete(followed.key);
    this.#unsaved.delete(followed.key);
    this.#retention.retire(followed.key, now);
    this.#retired.push(saved(followed, now));
  }

  #save(): Promise<void> {
    const attempts = this.#retired.splice(0);
    for (const key of this.#unsaved) {
      const followed = this.#followed.get(key);
      if (followed !== undefined) attempts.push(saved(followed, 0));
    }
    this.#unsaved.clear();
    if (attempts.length > 0) this.#saving = this.#positions.put(attempts, false).catch(() => undefined);
    return this.#saving;
  }
}

function saved(followed: Followed, retiredAtMs: number): SavedAttempt {
  return {
    key: followed.key,
    streams: followed.streams.map((stream) => stream.saved),
    retiredAtMs,
  };
}
