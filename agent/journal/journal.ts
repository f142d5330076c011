import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { AttemptPhase, type StorePosition } from '@galley/proto';
import type { AttemptKey } from './attempt-key.ts';
import { JournalError } from './errors.ts';
import { AttemptHistory, type EndedAttempt } from './history.ts';
import { lockStateDirectory, type StateLock } from './lock.ts';
import { RecordFile } from './record-file.ts';
import { decodeRecord, encodeRecord, JOURNAL_FORMAT, type JournalRecord } from './records.ts';
import { applyRecord, emptyState, type HeldAttempt, isAfter, type JournalState, snapshotRecords } from './state.ts';

/** Acks are moved to the history together, this long after the first of them; until then a crash only repeats a report. */
const ACK_DELAY_MS = 500;
/** How soon a move that the disk refused is tried again. */
const ACK_RETRY_MS = 5_000;
/** A file in which nothing can be read, and that is longer than what a first start writes, is damage and not a torn end. */
const MAX_TORN_START_BYTES = 1024;

export interface JournalOptions {
  /** The agent's state directory; created (0700) when it is missing. */
  readonly directory: string;
  /** A write failed and is being retried, or (undefined) works again. */
  readonly onFault?: (error: Error | undefined) => void;
  /** A torn end was cut off at opening, which a power cut leaves. */
  readonly onTorn?: (bytes: number) => void;
}

/**
 * The agent's durable memory: who it is, what it was given, and how that ended, until the control plane has confirmed that
 * it knows. Everything an agent says about an attempt rests on it: an intent is durable before the attempt is accepted or
 * started, an end before it is reported.
 */
export class Journal {
  readonly history: AttemptHistory;
  readonly #state: JournalState;
  readonly #file: RecordFile;
  readonly #lock: StateLock;
  readonly #acked = new Map<AttemptKey, EndedAttempt>();
  #ackTimer: NodeJS.Timeout | undefined;
  #moving: Promise<void> = Promise.resolve();
  #closing = false;

  private constructor(state: JournalState, file: RecordFile, history: AttemptHistory, lock: StateLock) {
    this.#state = state;
    this.#file = file;
    this.history = history;
    this.#lock = lock;
  }

  static async open(options: JournalOptions): Promise<Journal> {
    const { directory } = options;
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const lock = lockStateDirectory(directory);
    try {
      const state = emptyState();
      const { file, tornBytes } = await RecordFile.open({
        path: join(directory, 'journal'),
        apply: (payload) => applyRecord(state, decodeRecord(payload)),
        snapshot: () => Array.from(snapshotRecords(state), encodeRecord),
        refuse: (goodBytes, bytes) =>
          goodBytes === 0 && bytes > MAX_TORN_START_BYTES
            ? new JournalError('UNREADABLE', unreadable(join(directory, 'journal')))
            : undefined,
        ...(options.onFault === undefined ? {} : { onFault: options.onFault }),
      });
      if (tornBytes > 0) options.onTorn?.(tornBytes);
      if (state.incarnation === '') {
        await file.append(
          [encodeRecord({ kind: 'identity', format: JOURNAL_FORMAT, incarnation: randomUUID() })],
          true,
        );
      }
      const history = await AttemptHistory.open(join(directory, 'history'));
      return new Journal(state, file, history, lock);
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /** Of this state directory: a new one means that every earlier attempt of the node is lost. */
  get incarnation(): string {
    return this.#state.incarnation;
  }

  /** Empty until the first control plane has answered. */
  get clusterId(): string {
    return this.#state.clusterId;
  }

  get witness(): StorePosition | undefined {
    return this.#state.witness;
  }

  /** The last epoch that was told the complete history; 0 before the first. */
  get epoch(): bigint {
    return this.#state.epoch;
  }

  /** The highest placement sequence that is durable here. */
  get watermark(): bigint {
    return this.#state.watermark;
  }

  /** Open attempts, and ended ones that are not acked or whose ack is not written yet: where a start begins. */
  get attempts(): ReadonlyMap<AttemptKey, HeldAttempt> {
    return this.#state.attempts;
  }

  /** Durable when it resolves. Waits for as long as the disk takes nothing; rejects only when the journal is closed. */
  append(records: readonly JournalRecord[]): Promise<void> {
    return this.#file.append(records.map(encodeRecord), true);
  }

  /** Written soon, durable with the next append; a crash may forget it. */
  witnessed(position: StorePosition | undefined): void {
    const record = this.witnessRecord(position);
    if (record !== undefined) this.#file.append([encodeRecord(record)], false).catch(() => undefined);
  }

  /** The record of a position that is higher than the one held, to go along with others. */
  witnessRecord(position: StorePosition | undefined): JournalRecord | undefined {
    return position !== undefined && isAfter(position, this.#state.witness) ? { kind: 'witness', position } : undefined;
  }

  /**
   * The control plane has these ends durably: they go to the history soon. A crash before that brings them back as not
   * acked, which only repeats their report.
   */
  acked(keys: Iterable<AttemptKey>): void {
    for (const key of keys) {
      const attempt = this.#state.attempts.get(key);
      if (attempt?.state === 'ended') this.#acked.set(key, attempt);
    }
    this.#moveAckedIn(ACK_DELAY_MS);
  }

  /** The report of an attempt that ended and was acked, if it is still remembered. */
  async remembered(keys: ReadonlySet<AttemptKey>): Promise<Map<AttemptKey, EndedAttempt>> {
    const found = new Map<AttemptKey, EndedAttempt>();
    const missing = new Set<AttemptKey>();
    for (const key of keys) {
      const attempt = this.#acked.get(key);
      if (attempt === undefined) missing.add(key);
      else found.set(key, attempt);
    }
    for (const [key, attempt] of await this.history.find(missing)) found.set(key, attempt);
    return found;
  }

  /** Everything acked that is remembered, in large portions, the newest first. */
  async *rememberedAll(): AsyncGenerator<readonly EndedAttempt[]> {
    await this.#flushAcked();
    yield* this.history.read();
  }

  async close(): Promise<void> {
    this.#closing = true;
    await this.#flushAcked();
    await this.#file.close();
    await this.history.close();
    this.#lock.release();
  }

  #moveAckedIn(delayMs: number): void {
    if (this.#acked.size === 0 || this.#ackTimer !== undefined || this.#closing) return;
    this.#ackTimer = setTimeout(() => {
      void this.#flushAcked();
    }, delayMs);
  }

  #flushAcked(): Promise<void> {
    clearTimeout(this.#ackTimer);
    this.#ackTimer = undefined;
    this.#moving = this.#moving.then(() => this.#moveAcked());
    return this.#moving;
  }

  async #moveAcked(): Promise<void> {
    const batch = [...this.#acked];
    try {
      // What never ran here is nobody's history.
      const ran = batch.filter(([, { report }]) => report.phase !== AttemptPhase.REJECTED);
      await this.history.append(ran.map(([, attempt]) => attempt));
      const records = batch.flatMap(
        ([
          ,
          {
            report: { id, placementSequence },
          },
        ]) => (id === undefined ? [] : [encodeRecord({ kind: 'acked', id, placementSequence })]),
      );
      await this.#file.append(records, false);
      for (const [key, attempt] of batch) if (this.#acked.get(key) === attempt) this.#acked.delete(key);
    } catch {
      // A full disk, or the journal is closing: asked again later, at the latest by the report after the next start.
    }
    this.#moveAckedIn(ACK_RETRY_MS);
  }
}

function unreadable(path: string): string {
  return (
    `${path} is damaged from its first byte. Restore it, or move the whole state directory away: ` +
    'the node then begins anew and its earlier attempts count as lost.'
  );
}
