import type { MessageInitShape } from '@bufbuild/protobuf';
import type { EventSchema, JobSummary } from '@galley/proto';
import { decodeEndedJob, endedJobKey } from '../core/records/index.ts';
import type { EndedJob } from '../core/view.ts';
import type { JobEvent, StateEvent } from '../turn/event-ring.ts';
import type { Turns } from '../turn/turns.ts';
import type { FoundJob } from './job-lookup.ts';
import { toSummary } from './job-messages.ts';
import { readLabels } from './specs.ts';

/** Names of jobs that are remembered: a job has several events, and its name lies in a record of up to 256 KiB. */
const MAX_NAMES = 20_000;

type EventInit = MessageInitShape<typeof EventSchema>;

/** Events as the contract shows them. What the log of events leaves in the store is read when somebody asks. */
export class EventMessages {
  readonly #turns: Pick<Turns, 'store'>;
  /** Oldest first. */
  readonly #names = new Map<number, string>();

  constructor(turns: Pick<Turns, 'store'>) {
    this.#turns = turns;
  }

  /** In the order given. An event of a job that is not kept any more is left out. */
  async of(atMs: number, events: readonly StateEvent[]): Promise<EventInit[]> {
    const jobs = events.filter((event) => event.kind === 'job');
    const ended = await this.#ended(jobs.filter((event) => event.job === undefined));
    const found = jobs.flatMap((event) => event.job ?? ended.get(event.number) ?? []);
    const names = await this.#namesOf(found);
    return events.flatMap((event): EventInit[] => {
      if (event.kind === 'node') {
        const { node, from, to, reason } = event;
        return [
          { atMs: BigInt(atMs), event: { case: 'node', value: { node, state: to, previousState: from, reason } } },
        ];
      }
      const job = event.job ?? ended.get(event.number);
      if (job === undefined) return [];
      const value = { job: summaryOf(event, job, names.get(job.number) ?? ''), previousState: event.from };
      return [{ atMs: BigInt(atMs), event: { case: 'job', value } }];
    });
  }

  async #ended(events: readonly JobEvent[]): Promise<Map<number, EndedJob>> {
    const keys = events.map(({ account, number }) => endedJobKey(account, number));
    const records = keys.length === 0 ? [] : await this.#turns.store.getMany(keys);
    const jobs = records.flatMap((bytes) => (bytes === undefined ? [] : [decodeEndedJob(bytes)]));
    return new Map(jobs.map((job) => [job.number, job]));
  }

  async #namesOf(jobs: readonly FoundJob[]): Promise<Map<number, string>> {
    const names = new Map<number, string>();
    const unknown = new Map<number, FoundJob>();
    for (const job of jobs) {
      const name = this.#names.get(job.number);
      if (name === undefined) unknown.set(job.number, job);
      else names.set(job.number, name);
    }
    const unnamed = [...unknown.values()];
    for (const [at, { jobName }] of (await readLabels(this.#turns.store, unnamed)).entries()) {
      const job = unnamed[at];
      if (job === undefined) continue;
      names.set(job.number, jobName);
      this.#remember(job.number, jobName);
    }
    return names;
  }

  #remember(number: number, name: string): void {
    this.#names.set(number, name);
    if (this.#names.size <= MAX_NAMES) return;
    for (const oldest of this.#names.keys()) {
      this.#names.delete(oldest);
      return;
    }
  }
}

function summaryOf(event: JobEvent, job: FoundJob, name: string): JobSummary {
  const summary = toSummary(job, name);
  summary.state = event.to;
  return summary;
}
