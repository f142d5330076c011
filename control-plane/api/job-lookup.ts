import { formatJobId, parseJobId } from '../core/ids.ts';
import { decodeEndedJob, endedJobKey, jobIdIndexKey, numberAt } from '../core/records/index.ts';
import type { JobIdBytes } from '../core/types.ts';
import type { CoreView, LiveJob } from '../core/view.ts';
import type { Turns } from '../turn/turns.ts';
import { findChild } from './children.ts';
import { ApiError, invalid, notFound } from './errors.ts';
import type { FoundJob } from './found-job.ts';

export { type FoundJob, isEnded } from './found-job.ts';

export interface JobQuestion {
  readonly account: string;
  readonly id: JobIdBytes;
  /** Of an array; absent or -1: the job itself. */
  readonly child?: number;
}

const CHILD = /^(.+):(\d{1,7})$/;

/** What stands before and behind the `:` of a child's name. */
export function splitChild(text: string): { readonly job: string; readonly child: number } {
  const match = CHILD.exec(text);
  return match === null ? { job: text, child: -1 } : { job: match[1] ?? '', child: Number(match[2]) };
}

/** As AWS Batch names jobs: the UUID, with `:index` for a child of an array. */
export function jobIdText({ id, child = -1 }: { readonly id: JobIdBytes; readonly child?: number }): string {
  return child < 0 ? formatJobId(id) : `${formatJobId(id)}:${child}`;
}

/** The fewest digits that a prefix has, and the most candidates that an ambiguous one is answered with. */
const MIN_PREFIX_DIGITS = 4;
const MAX_CANDIDATES = 5;

const NUMBER = /^[1-9][0-9]{0,15}$/;
const PREFIX = /^[0-9a-f-]+$/i;

/** Finds jobs by whatever people and programs call them. What it answers is durable. */
export class JobLookup {
  readonly #turns: Turns;

  constructor(turns: Turns) {
    this.#turns = turns;
  }

  /** In the order of the questions; undefined where no job has the id. */
  async byIds(questions: readonly JobQuestion[]): Promise<(FoundJob | undefined)[]> {
    const jobs = await this.#jobs(questions);
    for (const [at, { child = -1 }] of questions.entries()) {
      const job = jobs[at];
      if (job !== undefined && child >= 0) jobs[at] = await findChild(this.#turns, job, child);
    }
    return jobs;
  }

  async #jobs(questions: readonly JobQuestion[]): Promise<(FoundJob | undefined)[]> {
    // The core first: what is not alive there was over before, so the store has it by now.
    const found: (FoundJob | undefined)[] = await this.#turns.read((view) =>
      questions.map(({ account, id }) => ofAccount(view.job(id), account)),
    );
    const missing = questions.flatMap((question, at) => (found[at] === undefined ? [{ ...question, at }] : []));
    if (missing.length === 0) return found;
    const { store } = this.#turns;
    const numbers = await store.getMany(missing.map(({ account, id }) => jobIdIndexKey(account, id)));
    const indexed = missing.flatMap((question, index) => {
      const bytes = numbers[index];
      return bytes === undefined ? [] : [{ ...question, number: numberAt(bytes, 0) }];
    });
    const records = await store.getMany(indexed.map(({ account, number }) => endedJobKey(account, number)));
    for (const [index, { at }] of indexed.entries()) {
      const bytes = records[index];
      if (bytes !== undefined) found[at] = decodeEndedJob(bytes);
    }
    return found;
  }

  /**
   * A number, a UUID, or a unique prefix of one; `:` and an index behind it for a child of an array. Throws NOT_FOUND, or
   * FAILED_PRECONDITION when a prefix fits several.
   */
  async find(account: string, reference: string, field: string): Promise<FoundJob> {
    const { job: text, child } = splitChild(reference);
    const job =
      (await this.#byNumber(account, text)) ??
      (await this.#byId(account, text)) ??
      (await this.#byPrefix(account, text, field));
    if (job === undefined) throw notFound(field, `job "${text}"`);
    if (child < 0) return job;
    const found = await findChild(this.#turns, job, child);
    if (found === undefined) throw notFound(field, describeMissing(job, child));
    return found;
  }

  async #byNumber(account: string, text: string): Promise<FoundJob | undefined> {
    if (!NUMBER.test(text)) return undefined;
    const number = Number(text);
    const live = await this.#turns.read((view) => ofAccount(view.jobByNumber(number), account));
    if (live !== undefined) return live;
    const bytes = await this.#turns.store.get(endedJobKey(account, number));
    return bytes === undefined ? undefined : decodeEndedJob(bytes);
  }

  async #byId(account: string, text: string): Promise<FoundJob | undefined> {
    const id = parseJobId(text);
    return id === undefined ? undefined : (await this.byIds([{ account, id }]))[0];
  }

  async #byPrefix(account: string, text: string, field: string): Promise<FoundJob | undefined> {
    if (!PREFIX.test(text)) {
      if (NUMBER.test(text)) return undefined;
      throw invalid(field, `must be a number, a UUID or the beginning of one, got "${text}"`);
    }
    const digits = text.replaceAll('-', '').toLowerCase();
    if (digits.length < MIN_PREFIX_DIGITS) {
      if (NUMBER.test(text)) return undefined;
      throw invalid(field, `the beginning of a UUID has at least ${MIN_PREFIX_DIGITS} digits, got "${text}"`);
    }
    if (digits.length >= 32) return undefined;
    const limit = MAX_CANDIDATES + 1;
    const candidates = await this.#turns.read((view) => livePrefix(view, account, digits, limit));
    const ids = new Map(candidates.map((job) => [formatJobId(job.id), job.id]));
    for (const id of await this.#endedPrefix(account, digits, limit)) ids.set(formatJobId(id), id);
    if (ids.size > 1) {
      const names = [...ids.keys()].slice(0, MAX_CANDIDATES);
      const more = ids.size > names.length ? ', ...' : '';
      const description = `"${text}" fits several jobs: ${names.join(', ')}${more}`;
      throw new ApiError('FAILED_PRECONDITION', description, {
        violations: [{ field, description }],
        reason: 'AMBIGUOUS',
        metadata: { candidates: names.join(',') },
      });
    }
    const [id] = ids.values();
    return id === undefined ? undefined : (await this.byIds([{ account, id }]))[0];
  }

  async #endedPrefix(account: string, digits: string, limit: number): Promise<JobIdBytes[]> {
    const last = jobIdIndexKey(account, Buffer.from(digits.padEnd(32, 'f'), 'hex'));
    const range = {
      gte: jobIdIndexKey(account, Buffer.from(digits.padEnd(32, '0'), 'hex')),
      lt: Buffer.concat([last, Buffer.of(0)]),
    };
    const ids: JobIdBytes[] = [];
    for await (const page of this.#turns.store.scan(range, { pageBytes: PREFIX_PAGE_BYTES })) {
      for (const { key } of page) ids.push(key.slice(-16));
      if (ids.length >= limit) break;
    }
    return ids.slice(0, limit);
  }
}

function describeMissing(job: FoundJob, child: number): string {
  if (job.array === undefined) return `child ${child}: job ${job.number} is no array; a child`;
  return `child ${child} of job ${job.number}, whose children are 0 to ${job.array.size - 1},`;
}

/** A few entries are enough to know that a prefix is not unique. */
const PREFIX_PAGE_BYTES = 4096;

function livePrefix(view: CoreView, account: string, digits: string, limit: number): LiveJob[] {
  return view.jobsByPrefix(digits, limit).filter((job) => job.account === account);
}

function ofAccount(job: LiveJob | undefined, account: string): LiveJob | undefined {
  return job?.account === account ? job : undefined;
}
