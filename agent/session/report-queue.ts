import type { AttemptReport } from '@galley/proto';
import { AttemptPhase } from '@galley/proto';
import type { AttemptKey } from '../journal/attempt-key.ts';

/** Reports of one message. */
export const MAX_REPORTS_A_MESSAGE = 256;
/** Reports of attempts that are not held any more, waiting to be sent; what is beyond is asked for again by the control plane. */
const MAX_REMEMBERED = 10_000;

/** An end as it was told. */
export interface ToldEnd {
  readonly key: AttemptKey;
  /** Of which placement of the attempt. */
  readonly placementSequence: bigint;
  /** Whether it was told that nothing is held any more. */
  readonly released: boolean;
}

interface SentEnd extends ToldEnd {
  readonly sequence: bigint;
}

/**
 * What is to be reported, and which ends wait for their ack. An attempt is in it once, however often it changes: a report is
 * its cumulative state at the time of sending. So it is bounded by the attempts that the node holds.
 */
export class ReportQueue {
  readonly #changed = new Set<AttemptKey>();
  readonly #later = new Set<AttemptKey>();
  readonly #remembered: AttemptReport[] = [];
  #sent: SentEnd[] = [];
  #sequence = 0n;

  /** What `take` has to give. */
  get size(): number {
    return this.#changed.size + this.#remembered.length;
  }

  add(key: AttemptKey): void {
    this.#later.delete(key);
    this.#changed.add(key);
  }

  /** As `add`, but nobody waits for it: it is given from the next `ripen` on. */
  addLater(key: AttemptKey): void {
    if (!this.#changed.has(key)) this.#later.add(key);
  }

  ripen(): void {
    for (const key of this.#later) this.#changed.add(key);
    this.#later.clear();
  }

  addRemembered(report: AttemptReport): void {
    if (this.#remembered.length < MAX_REMEMBERED) this.#remembered.push(report);
  }

  /** Acks of an earlier connection mean nothing to this one. Sequences go on rising. */
  connected(keys: Iterable<AttemptKey>): void {
    this.#sent = [];
    for (const key of keys) this.add(key);
  }

  /** The next message's reports, numbered. */
  take(current: (key: AttemptKey) => AttemptReport | undefined): AttemptReport[] {
    const reports: AttemptReport[] = [];
    for (const key of this.#changed) {
      if (reports.length >= MAX_REPORTS_A_MESSAGE) break;
      this.#changed.delete(key);
      const report = current(key);
      if (report === undefined) continue;
      report.sequence = ++this.#sequence;
      if (report.phase === AttemptPhase.ENDED || report.phase === AttemptPhase.REJECTED) {
        const { sequence, placementSequence, resourcesReleased: released } = report;
        this.#sent.push({ key, sequence, placementSequence, released });
      }
      reports.push(report);
    }
    for (const report of this.#remembered.splice(0, MAX_REPORTS_A_MESSAGE - reports.length)) {
      report.sequence = ++this.#sequence;
      if (report.id !== undefined) reports.push(report);
    }
    return reports;
  }

  /** The ends that this ack covers. An end that changed since it was sent waits for the ack of its next report. */
  acked(sequence: bigint): ToldEnd[] {
    const covered: SentEnd[] = [];
    while (this.#sent[0] !== undefined && this.#sent[0].sequence <= sequence) {
      covered.push(this.#sent[0]);
      this.#sent.shift();
    }
    return covered;
  }
}
