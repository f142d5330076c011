import { invalid } from './errors.ts';

// A page token says after which row the page begins, never how many rows came before: rows that come and go move nothing.

const DEFAULT_PAGE_SIZE = 100;
/** Encoded items of one page, in bytes: half of what a message may have. */
const MAX_PAGE_BYTES = 4 * 1024 * 1024;
const FIELD = 'page.page_token';

export interface PageOf {
  readonly page?: { readonly pageSize: number; readonly pageToken: string } | undefined;
}

export function pageSizeOf({ page }: PageOf): number {
  return page === undefined || page.pageSize === 0 ? DEFAULT_PAGE_SIZE : page.pageSize;
}

/** `list` names the call, so that a token of one list is not taken by another. */
export function makeToken(list: string, position: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify([list, ...position])).toString('base64url');
}

/** The position of a token; undefined on the first page. `shape` gives the types that the position must have. */
export function readToken<const S extends readonly ('string' | 'number')[]>(
  list: string,
  { page }: PageOf,
  shape: S,
): { [K in keyof S]: S[K] extends 'string' ? string : number } | undefined {
  const token = page?.pageToken ?? '';
  if (token === '') return undefined;
  let parts: unknown;
  try {
    parts = JSON.parse(Buffer.from(token, 'base64url').toString());
  } catch {
    parts = undefined;
  }
  if (!Array.isArray(parts) || parts.length !== shape.length + 1 || parts[0] !== list || !fits(parts.slice(1), shape)) {
    throw invalid(FIELD, `must be the next_page_token of an earlier page of the same list, got "${token}"`);
  }
  return parts.slice(1) as { [K in keyof S]: S[K] extends 'string' ? string : number };
}

function fits(values: readonly unknown[], shape: readonly ('string' | 'number')[]): boolean {
  return shape.every((type, at) => {
    const value = values[at];
    return typeof value === type && (typeof value !== 'number' || (Number.isSafeInteger(value) && value >= 0));
  });
}

/** One page of a list that is short enough to be at hand as a whole, sorted by key. */
export function pageOfNames<T>(
  list: string,
  request: PageOf,
  items: readonly T[],
  keyOf: (item: T) => string,
  bytesOf: (item: T) => number = () => 0,
): { readonly items: T[]; readonly nextPageToken: string } {
  const after = readToken(list, request, ['string'])?.[0];
  const sorted = items.map((item) => ({ item, key: keyOf(item) })).sort((a, b) => (a.key < b.key ? -1 : 1));
  const rest = after === undefined ? sorted : sorted.filter(({ key }) => key > after);
  const page = rest.slice(
    0,
    fitting(rest.slice(0, pageSizeOf(request)), ({ item }) => bytesOf(item)),
  );
  const last = page.at(-1);
  return {
    items: page.map(({ item }) => item),
    nextPageToken: last === undefined || page.length === rest.length ? '' : makeToken(list, [last.key]),
  };
}

/** How many of the items fit in a page, at least one. */
function fitting<T>(items: readonly T[], bytesOf: (item: T) => number): number {
  let bytes = 0;
  const tooMany = items.findIndex((item, at) => {
    bytes += bytesOf(item);
    return at > 0 && bytes > MAX_PAGE_BYTES;
  });
  return tooMany === -1 ? items.length : tooMany;
}
