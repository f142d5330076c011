import type { JobRequest } from '@galley/sdk';

/** A request with an id of its own, as everything in the ledger has. */
export type LedgerRequest = JobRequest & { readonly jobId: string; readonly jobName: string };

/** One job, and what its submitter was told. Nobody tells the ledger what to believe: only answers that arrived count. */
export interface LedgerEntry {
  readonly request: LedgerRequest;
  /** Jobs of one atomic call have the same; undefined: submitted each for itself. */
  readonly group: number | undefined;
  /** The job's number once it was acknowledged. */
  number: number | undefined;
  /** `asked`: no answer arrived, it may be cancelled or not. */
  cancel: 'none' | 'asked' | 'acknowledged';
}

/** What the clients outside the machine know, across all its power cuts. */
export class Ledger {
  readonly #entries = new Map<string, LedgerEntry>();
  #groups = 0;
  #acknowledged = 0;
  #watchers: { readonly count: number; readonly reached: () => void }[] = [];

  get entries(): Iterable<LedgerEntry> {
    return this.#entries.values();
  }

  get ids(): string[] {
    return [...this.#entries.keys()];
  }

  /** Answers that arrived, for submits and cancels. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  get(jobId: string): LedgerEntry | undefined {
    return this.#entries.get(jobId);
  }

  /** Written down before the call is made. */
  submitting(requests: readonly LedgerRequest[], atomic: boolean): void {
    const group = atomic ? ++this.#groups : undefined;
    for (const request of requests) {
      this.#entries.set(request.jobId, { request, group, number: undefined, cancel: 'none' });
    }
  }

  submitted(jobId: string, number: number): void {
    this.#entry(jobId).number = number;
    this.#count();
  }

  cancelling(jobId: string): void {
    this.#entry(jobId).cancel = 'asked';
  }

  cancelled(jobId: string): void {
    this.#entry(jobId).cancel = 'acknowledged';
    this.#count();
  }

  /** Calls `reached` once, at so many further acknowledgements, before anything else can happen. */
  afterAcknowledgements(further: number, reached: () => void): void {
    this.#watchers.push({ count: this.#acknowledged + further, reached });
  }

  #count(): void {
    this.#acknowledged += 1;
    const due = this.#watchers.filter(({ count }) => count <= this.#acknowledged);
    this.#watchers = this.#watchers.filter((watcher) => !due.includes(watcher));
    for (const { reached } of due) reached();
  }

  #entry(jobId: string): LedgerEntry {
    const entry = this.#entries.get(jobId);
    if (entry === undefined) throw new Error(`${jobId} is not in the ledger`);
    return entry;
  }
}
