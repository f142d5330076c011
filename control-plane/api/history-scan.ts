import type { HistoryFilter } from '@galley/proto';
import { decodeHistory, historyKey, historyTimeKey, numberAt, restOf, tableRange } from '../core/records/index.ts';
import type { HistoryRecord } from '../core/view.ts';
import type { ScanRange, Store } from '../store/store.ts';
import { accountOf } from './accounts.ts';

/** Bytes of one page of a scan: small enough that decoding it holds the event loop for a few milliseconds. */
const SCAN_PAGE_BYTES = 128 * 1024;

/** Where a record stands in the history: unique, ordered, never moves. */
export interface HistoryPosition {
  readonly stoppedAtMs: number;
  readonly number: number;
  readonly attempt: number;
  /** -1: not a child of an array. */
  readonly child: number;
}

export interface HistoryEntry {
  readonly position: HistoryPosition;
  /** Undefined when the filter does not let it through. */
  readonly record: HistoryRecord | undefined;
}

/** Entries of the filter's time range, newest first, page by page; those before `before` only. */
export async function* scanHistory(
  store: Store,
  filter: HistoryFilter | undefined,
  before: HistoryPosition | undefined,
): AsyncGenerator<HistoryEntry[], void, undefined> {
  const matches = compileFilter(filter);
  for await (const page of store.scan(rangeOf(filter, before), { pageBytes: SCAN_PAGE_BYTES })) {
    yield page.map(({ key, value }) => {
      const record = decodeHistory(value);
      return { position: positionOf(key), record: matches(record) ? record : undefined };
    });
  }
}

function rangeOf(filter: HistoryFilter | undefined, before: HistoryPosition | undefined): ScanRange {
  const account = accountOf({ account: filter?.account ?? '' });
  const [since, until] = [Number(filter?.sinceMs ?? 0n), Number(filter?.untilMs ?? 0n)];
  const end = until === 0 ? tableRange(account, 'h').lt : historyTimeKey(account, until);
  return {
    gte: historyTimeKey(account, since),
    lt:
      before === undefined ? end : historyKey(account, before.stoppedAtMs, before.number, before.attempt, before.child),
    reverse: true,
  };
}

function positionOf(key: Uint8Array): HistoryPosition {
  const rest = restOf(key);
  const view = new DataView(rest.buffer, rest.byteOffset, rest.byteLength);
  const child = rest.byteLength > 20 ? view.getUint32(20) : -1;
  return { stoppedAtMs: numberAt(rest, 0), number: numberAt(rest, 8), attempt: view.getUint32(16), child };
}

function compileFilter(filter: HistoryFilter | undefined): (record: HistoryRecord) => boolean {
  const { user = '', jobQueue = '', node = '' } = filter ?? {};
  return (record) =>
    (user === '' || record.user === user) &&
    (jobQueue === '' || record.queue === jobQueue) &&
    (node === '' || record.node === node);
}
