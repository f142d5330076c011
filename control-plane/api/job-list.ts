import type { JobSummary, ListJobsRequest } from '@galley/proto';
import { decodeEndedJob, endedJobKey } from '../core/records/index.ts';
import { isTerminal, type JobState } from '../core/types.ts';
import type { EndedJob, LiveJobFilter } from '../core/view.ts';
import type { Turns } from '../turn/turns.ts';
import { accountOf } from './accounts.ts';
import { notBuilt } from './errors.ts';
import { type FoundJob, isEnded } from './job-lookup.ts';
import { toSummary } from './job-messages.ts';
import { readLabels } from './specs.ts';
import { makeToken, pageSizeOf, readToken } from './tokens.ts';

/** Rows that are looked at for one page; a page that reached it may be short, or empty, and still have a next one. */
const SCAN_BUDGET_ROWS = 20_000;
/** Rows that are taken from each source at a time when their names decide, which only their requests say. */
const NAMED_SLICE_ROWS = 1_000;
const SCAN_PAGE_BYTES = 128 * 1024;
/** Above every number that a job can have. */
const NEWEST = Number.MAX_SAFE_INTEGER;

const LIST = 'jobs';

/** Rows of one source below a number, newest first. */
interface Slice<T> {
  readonly rows: T[];
  /** Everything down to this number has been looked at; 0: the source has no more. */
  readonly downTo: number;
  readonly looked: number;
}

/**
 * One page of jobs, newest first: those that are alive merged by number with those that are over. A job is in one place
 * or, when it ends between the two reads, in both; then the record of its end is what counts.
 */
export async function listJobs(
  turns: Turns,
  request: ListJobsRequest,
): Promise<{ readonly jobs: JobSummary[]; readonly nextPageToken: string }> {
  if (request.multiNodeJobId !== '') throw notBuilt('multi_node_job_id');
  if (request.shareIdentifier !== '') throw notBuilt('share_identifier');
  const pageSize = pageSizeOf(request);
  const filter = compileFilter(request);
  // One row more than the page tells whether there is another page.
  const wanted = request.jobName === '' ? pageSize + 1 : NAMED_SLICE_ROWS;
  const jobs: JobSummary[] = [];
  let before = readToken(LIST, request, ['number'])?.[0] ?? NEWEST;
  let budget = SCAN_BUDGET_ROWS;
  while (before > 1) {
    // The core first: whatever was over before that read is in the store by now, so no job falls between the two.
    const live = await liveSlice(turns, filter, before, wanted);
    const ended = await endedSlice(turns, filter, before, { rows: wanted, looked: budget });
    const downTo = Math.max(live.downTo, ended.downTo);
    const rows = merge(live.rows, ended.rows).filter((job) => job.number >= downTo);
    const labels = await readLabels(turns.store, rows);
    for (const [at, job] of rows.entries()) {
      const jobName = labels[at]?.jobName ?? '';
      if (!filter.byName(jobName)) continue;
      jobs.push(toSummary(job, jobName));
      if (jobs.length === pageSize) {
        const last = at === rows.length - 1 && downTo === 0;
        return { jobs, nextPageToken: last ? '' : makeToken(LIST, [job.number]) };
      }
    }
    if (downTo === 0) break;
    before = downTo;
    budget -= live.looked + ended.looked;
    if (budget <= 0) return { jobs, nextPageToken: makeToken(LIST, [before]) };
  }
  return { jobs, nextPageToken: '' };
}

interface Filter {
  readonly account: string;
  readonly live: LiveJobFilter | undefined;
  readonly ended: boolean;
  readonly createdAfterMs: number;
  readonly matches: (job: FoundJob) => boolean;
  readonly byName: (jobName: string) => boolean;
}

function compileFilter(request: ListJobsRequest): Filter {
  const account = accountOf(request);
  // The rules of the contract let only defined states through.
  const states = request.states as JobState[];
  const liveStates = states.filter((state) => !isTerminal(state));
  const [after, before] = [Number(request.createdAfterMs), Number(request.createdBeforeMs)];
  const pinned = request.jobDefinition.includes(':');
  const live: LiveJobFilter = {
    account,
    ...(request.jobQueue === '' ? {} : { queue: request.jobQueue }),
    ...(states.length === 0 ? {} : { states: liveStates }),
    ...(request.user === '' ? {} : { user: request.user }),
    ...(pinned ? { definition: request.jobDefinition } : {}),
    ...(after === 0 ? {} : { createdAfterMs: after }),
    ...(before === 0 ? {} : { createdBeforeMs: before }),
  };
  return {
    account,
    live: states.length > 0 && liveStates.length === 0 ? undefined : live,
    ended: states.length === 0 || liveStates.length < states.length,
    createdAfterMs: after,
    matches: (job) =>
      (request.jobQueue === '' || job.queue === request.jobQueue) &&
      (states.length === 0 || states.includes(job.state)) &&
      (request.user === '' || job.user === request.user) &&
      (request.jobDefinition === '' ||
        (pinned ? job.definition === request.jobDefinition : job.definition.startsWith(`${request.jobDefinition}:`))) &&
      (after === 0 || job.createdAtMs >= after) &&
      (before === 0 || job.createdAtMs < before),
    byName: nameFilter(request.jobName),
  };
}

/** Exact, or a prefix with a trailing `*`; case is ignored. */
function nameFilter(pattern: string): (jobName: string) => boolean {
  if (pattern === '') return () => true;
  const wanted = pattern.toLowerCase();
  if (!wanted.endsWith('*')) return (jobName) => jobName.toLowerCase() === wanted;
  const prefix = wanted.slice(0, -1);
  return (jobName) => jobName.toLowerCase().startsWith(prefix);
}

async function liveSlice(turns: Turns, filter: Filter, before: number, wanted: number): Promise<Slice<FoundJob>> {
  const { live } = filter;
  if (live === undefined) return { rows: [], downTo: 0, looked: 0 };
  const rows = await turns.read((view) => view.listLive(live, before, wanted));
  const last = rows.at(-1);
  const downTo = rows.length < wanted || last === undefined ? 0 : last.number;
  return { rows: rows.filter(filter.matches), downTo, looked: rows.length };
}

async function endedSlice(
  { store }: Turns,
  filter: Filter,
  before: number,
  most: { readonly rows: number; readonly looked: number },
): Promise<Slice<FoundJob>> {
  const rows: EndedJob[] = [];
  let looked = 0;
  if (!filter.ended) return { rows, downTo: 0, looked };
  const range = { gte: endedJobKey(filter.account, 0), lt: endedJobKey(filter.account, before), reverse: true };
  for await (const page of store.scan(range, { pageBytes: SCAN_PAGE_BYTES })) {
    for (const { value } of page) {
      const job = decodeEndedJob(value);
      looked++;
      // Numbers are given in the order of creation, and the cluster's time never goes back.
      if (job.createdAtMs < filter.createdAfterMs) return { rows, downTo: 0, looked };
      if (filter.matches(job)) rows.push(job);
      if (rows.length === most.rows || looked === most.looked) return { rows, downTo: job.number, looked };
    }
  }
  return { rows, downTo: 0, looked };
}

/** Newest first; of two with one number the one that is over. */
function merge(live: readonly FoundJob[], ended: readonly FoundJob[]): FoundJob[] {
  const byNumber = new Map([...live, ...ended].map((job) => [job.number, job]));
  return [...byNumber.values()].sort((a, b) => b.number - a.number || Number(isEnded(b)) - Number(isEnded(a)));
}
