import { LOST_AFTER_MS } from '../core/limits.ts';

/** Versions of the agent protocol that this control plane speaks. */
export const PROTOCOL_MIN = 1;
export const PROTOCOL_MAX = 1;

/** Between two heartbeats of an agent, in ms. A node is silent after three that did not come. */
export const HEARTBEAT_INTERVAL_MS = 5_000;

/**
 * How long an agent keeps `fenced` jobs without an answer to its heartbeats, in ms. The rest of the time until the node is
 * lost, and the jobs are run elsewhere, is for stopping them.
 */
export const LEASE_MS = LOST_AFTER_MS - 120_000;

/** A connection that has not said hello after so long is ended, in ms. */
export const HELLO_TIMEOUT_MS = 10_000;

/** While a node was heard from within this time, no other agent may take its name, in ms. */
export const ALIVE_MS = 3 * HEARTBEAT_INTERVAL_MS;

/** Placements that one agent may have unanswered, whatever it says. */
export const MAX_PLACEMENT_CREDIT = 10_000;

/** Messages of one agent whose turn is not durable yet; beyond it nothing more is read from it. */
export const MAX_UNANSWERED = 256;

/** Messages and bytes that wait to be read by one agent. One that lets more pile up is ended and connects again. */
export const MAX_OUTBOX_MESSAGES = 4_096;
export const MAX_OUTBOX_BYTES = 32 * 1024 * 1024;

/** Bytes and count of placements in one message. */
export const PLACEMENTS_BYTES = 1024 * 1024;
export const PLACEMENTS_COUNT = 256;
