import type { JobSummary, ListJobsRequest } from '@galley/proto';
import { CHUNK_CHILDREN } from '../core/records/array-chunk.ts';
import { isTerminal, JobState } from '../core/types.ts';
import type { Turns } from '../turn/turns.ts';
import { accountOf } from './accounts.ts';
import { givenIndexOf } from './arrays.ts';
import { readEndedChildren } from './children.ts';
import { invalid } from './errors.ts';
import { type FoundJob, isEnded, type JobLookup } from './job-lookup.ts';
import { toSummary } from './job-messages.ts';
import { readSpec } from './specs.ts';
import { makeToken, pageSizeOf, readToken } from './tokens.ts';

/** Chunks of children that one page reads at the most; a page that reached it is short and still has a next one. */
const MAX_PAGE_CHUNKS = 32;

const LIST = 'children';
const ALL_STATES: readonly JobState[] = Object.values(JobState);

interface Page {
  readonly children: FoundJob[];
  /** Where the next page begins; undefined: there is none. */
  readonly next: number | undefined;
}

/** One page of an array's children, by index. */
export async function listChildren(
  turns: Turns,
  lookup: JobLookup,
  request: ListJobsRequest,
): Promise<{ readonly jobs: JobSummary[]; readonly nextPageToken: string }> {
  const parent = await lookup.find(accountOf(request), request.arrayJobId, 'array_job_id');
  if (parent.array === undefined) throw invalid('array_job_id', `job "${request.arrayJobId}" is no array`);
  // The rules of the contract let only defined states through.
  const states = request.states.length === 0 ? ALL_STATES : (request.states as JobState[]);
  const from = readToken(LIST, request, ['number'])?.[0] ?? 0;
  const limit = pageSizeOf(request);
  const page =
    (await livePage(turns, parent, states, from, limit)) ??
    (await endedPage(turns, lookup, parent, states, from, limit));
  const spec = await readSpec(turns.store, parent);
  const given = givenIndexOf(spec);
  return {
    jobs: page.children.map((child) => toSummary(child, spec?.jobName ?? '', given?.(child.child))),
    nextPageToken: page.next === undefined ? '' : makeToken(LIST, [page.next]),
  };
}

async function livePage(
  turns: Turns,
  parent: FoundJob,
  states: readonly JobState[],
  from: number,
  limit: number,
): Promise<Page | undefined> {
  if (isEnded(parent)) return undefined;
  const found = await turns.read((view) => {
    const rows = view.children(parent.number, states, from, limit + 1);
    return rows?.map(({ child, state }) => ({
      child,
      live: isTerminal(state) ? undefined : view.child(parent.number, child),
    }));
  });
  if (found === undefined) return undefined;
  const rows = found.slice(0, limit);
  const cut = cutAtChunks(
    rows.filter(({ live }) => live === undefined).map(({ child }) => child),
    rows.length < found.length ? found.at(-1)?.child : undefined,
  );
  const shown = rows.filter(({ child }) => cut.next === undefined || child < cut.next);
  const ended = await readEndedChildren(turns.store, parent, cut.children);
  const byChild = new Map(ended.map((child) => [child.child, child]));
  const children = shown.flatMap(({ child, live }) => live ?? byChild.get(child) ?? []);
  return { children, next: cut.next };
}

async function endedPage(
  turns: Turns,
  lookup: JobLookup,
  parent: FoundJob,
  states: readonly JobState[],
  from: number,
  limit: number,
): Promise<Page> {
  const [over] = isEnded(parent) ? [parent] : await lookup.byIds([parent]);
  if (over === undefined || !isEnded(over) || over.array === undefined) return { children: [], next: undefined };
  const { size, failed } = over.array;
  const wanted: number[] = [];
  for (let child = from; child < size && wanted.length <= limit; child++) {
    if (states.includes(failed.has(child) ? JobState.failed : JobState.succeeded)) wanted.push(child);
  }
  const cut = cutAtChunks(wanted.slice(0, limit), wanted[limit]);
  return { children: await readEndedChildren(turns.store, over, cut.children), next: cut.next };
}

/** So many children that they lie in a bounded number of chunks. `next`: the child that follows them, if any. */
function cutAtChunks(children: number[], next: number | undefined): { children: number[]; next: number | undefined } {
  const chunks = new Set<number>();
  for (const [at, child] of children.entries()) {
    chunks.add(Math.floor(child / CHUNK_CHILDREN));
    if (chunks.size > MAX_PAGE_CHUNKS) return { children: children.slice(0, at), next: child };
  }
  return { children, next };
}
