/** The default of `scan`'s `pageBytes`, in bytes of keys and values. */
export const PAGE_BYTES = 1024 * 1024;
/** The most entries on a page, so that a page of tiny entries is no long stop for the event loop. */
export const PAGE_ENTRIES = 8192;
