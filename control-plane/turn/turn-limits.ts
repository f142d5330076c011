/** Inputs of one turn. */
export const MAX_TURN_INPUTS = 2_000;

/**
 * Bytes of changes at which a turn takes no more inputs. One more input may follow (an atomic submit has at most 512 KiB)
 * and what the scheduler places, and all of it must fit in one batch of the store.
 */
export const TURN_BYTES = 384 * 1024;

/** Bytes of changes at which a turn schedules nothing any more; the next one does. */
export const SCHEDULE_BYTES = 768 * 1024;

/** Scheduling steps of one turn. */
export const STEP_BUDGET = 1_000;

/** How long inputs are applied before the event loop gets its turn, in ms. */
export const SLICE_MS = 8;

/** A turn runs at least so often, in ms, so that time passes in the core. */
export const IDLE_TICK_MS = 250;

/** Calls that may wait at once, for their turn or for its commit. */
export const MAX_WAITING = 50_000;

/** Bytes of inputs that may wait for their turn. */
export const MAX_WAITING_BYTES = 64 * 1024 * 1024;

/** How long callers wait for room on a full disk before they are told that the outcome is unknown, in ms. */
export const FULL_PATIENCE_MS = 2_000;

/** Between two tries to commit to a full disk or to reopen the store, in ms. */
export const RETRY_MIN_MS = 50;
export const RETRY_MAX_MS = 2_000;

/**
 * Tries to reopen a store after an error that is not the store's own verdict. A full disk is waited for without end; any
 * other verdict does not change by itself.
 */
export const MAX_REOPEN_TRIES = 8;

/** Cores in a row that failed before a single turn of theirs was durable: a fault that reloading does not cure. */
export const MAX_FAILED_CORES = 3;
