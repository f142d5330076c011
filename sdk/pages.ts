/** Items a page that lists ask for: the most that the server gives. */
export const PAGE_SIZE = 1_000;

interface Page<T> {
  readonly items: readonly T[];
  readonly nextPageToken: string;
}

/** Every item of a list, page by page; the next page is asked for when the one before has been consumed. */
export async function* pages<T>(fetch: (page: { pageSize: number; pageToken: string }) => Promise<Page<T>>, size = 0) {
  let pageToken = '';
  do {
    const page = await fetch({ pageSize: size === 0 ? PAGE_SIZE : Math.min(size, PAGE_SIZE), pageToken });
    yield* page.items;
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
}
