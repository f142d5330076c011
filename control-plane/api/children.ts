import { CHUNK_CHILDREN, ChunkContent, type EndedChild } from '../core/records/array-chunk.ts';
import { arrayRange, chunkKey, chunkRange, RANGE_ENDS } from '../core/records/keys.ts';
import { decodeRangeEnd, type RangeEndRecord } from '../core/records/range-end.ts';
import { EndCause, JobState } from '../core/types.ts';
import type { EndedJob } from '../core/view.ts';
import type { Store } from '../store/store.ts';
import type { Turns } from '../turn/turns.ts';
import { type FoundJob, isEnded } from './found-job.ts';

/** A child of an array wherever it is: alive in the core, or over and in the array's records. Undefined: it has no such child. */
export async function findChild(turns: Turns, parent: FoundJob, child: number): Promise<FoundJob | undefined> {
  if (parent.array === undefined || child >= parent.array.size) return undefined;
  if (!isEnded(parent)) {
    const live = await turns.read((view) => view.child(parent.number, child));
    if (live !== undefined) return live;
  }
  return (await readEndedChildren(turns.store, parent, [child]))[0];
}

/** Children that are over, from the array's records, in the order asked. */
export async function readEndedChildren(
  store: Store,
  parent: FoundJob,
  children: readonly number[],
): Promise<EndedJob[]> {
  const contents = new Map<number, ChunkContent>();
  const { account, number } = parent;
  for (const child of children) {
    const chunk = Math.floor(child / CHUNK_CHILDREN);
    if (!contents.has(chunk)) contents.set(chunk, await readChunk(store, account, number, chunk));
  }
  let ranges: readonly RangeEndRecord[] | undefined;
  const found: EndedJob[] = [];
  for (const child of children) {
    const record = contents.get(Math.floor(child / CHUNK_CHILDREN))?.get(child % CHUNK_CHILDREN);
    if (record?.kind === 'ended') {
      found.push(toEndedJob(parent, child, record));
      continue;
    }
    ranges ??= await readRangeEnds(store, account, number);
    const attempts = record?.attempt ?? 0;
    const range = ranges.find((each) => each.children.has(child));
    if (range !== undefined) found.push(toEndedJob(parent, child, endedInRange(range, attempts)));
  }
  return found;
}

async function readChunk(store: Store, account: string, number: number, chunk: number): Promise<ChunkContent> {
  const content = new ChunkContent();
  for await (const page of store.scan(chunkRange(account, number, chunk, chunk + 1))) {
    for (const { value } of page) content.add(value);
  }
  return content;
}

async function readRangeEnds(store: Store, account: string, number: number): Promise<RangeEndRecord[]> {
  const range = { gte: chunkKey(account, number, RANGE_ENDS, 0), lt: arrayRange(account, 'c', number).lt };
  const ends: RangeEndRecord[] = [];
  for await (const page of store.scan(range)) for (const { value } of page) ends.push(decodeRangeEnd(value));
  return ends;
}

function endedInRange({ atMs, reason, cause }: RangeEndRecord, attempts: number): EndedChild {
  const { failed } = JobState;
  return {
    kind: 'ended',
    state: failed,
    attempts,
    stoppedAtMs: atMs,
    statusReason: reason,
    cause,
    lastAttempt: undefined,
  };
}

function toEndedJob(parent: FoundJob, child: number, end: EndedChild): EndedJob {
  const { id, number, account, queue, definition, user, submittedBy, requirements, priority } = parent;
  const stopped = end.cause === EndCause.stopped;
  return {
    id,
    number,
    account,
    queue,
    definition,
    user,
    submittedBy,
    requirements,
    priority,
    digest: new Uint8Array(),
    state: end.state,
    cancelRequested: false,
    terminateRequested: stopped,
    createdAtMs: parent.createdAtMs,
    runnableAtMs: parent.runnableAtMs,
    stoppedAtMs: end.stoppedAtMs,
    statusReason: end.statusReason,
    attempts: end.attempts,
    lastAttempt: end.lastAttempt,
    cause: end.cause,
    child,
    array: undefined,
  };
}
