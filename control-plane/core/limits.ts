// Every bound of the core, with its unit. Reached, each answers a clear refusal.

/** Jobs alive at a time. */
export const MAX_LIVE_JOBS = 4_000_000;
/** Arrays alive at a time, and their children, those of arrays that ended a moment ago included. */
export const MAX_ARRAYS = 50_000;
export const MAX_CHILDREN = 20_000_000;
/** Deltas of a chunk of children that are folded into one. */
export const MAX_CHUNK_DELTAS = 64;
/** Queues of all accounts. */
export const MAX_QUEUES = 10_000;
/** Compute environments of all accounts. */
export const MAX_ENVIRONMENTS = 10_000;
/** Nodes of all accounts. */
export const MAX_NODES = 50_000;
/** Job definition names of all accounts, and revisions of one name. */
export const MAX_DEFINITION_NAMES = 50_000;
export const MAX_DEFINITION_REVISIONS = 100_000;
/** Attempts placed on one node. */
export const MAX_ATTEMPTS_PER_NODE = 10_000;
/** Attempts of unknown jobs that are listed for one node. */
export const MAX_ORPHANS_PER_NODE = 1_000;

/** Turns that a job which is over stays known in memory, and the most such jobs. */
export const RETIRED_TURNS = 10_000;
export const MAX_RETIRED_JOBS = 200_000;

/** Milliseconds that one tick adds to elapsed time at most: a pause or a jump of the clock expires nothing. */
export const MAX_TICK_MS = 1_000;
/** Milliseconds between two looks at the nodes' silence. */
export const LIVENESS_INTERVAL_MS = 500;
/** Elapsed milliseconds without a word after which a node is silent, and lost. */
export const SILENT_AFTER_MS = 15_000;
export const LOST_AFTER_MS = 10 * 60_000;
/** When more than half of the nodes are silent at once, the fault is likely ours: none is lost before this. */
export const LOST_AFTER_MASS_SILENCE_MS = 60 * 60_000;
/** How long a job whose `onNodeLost` is `wait` waits for its node. */
export const WAIT_FOR_NODE_MS = 24 * 60 * 60_000;
/** Attempts after which even `rerun` and `fenced` give up on a job that loses node after node. */
export const MAX_NODE_LOSS_ATTEMPTS = 10;
/** The shortest and longest pause after a node rejected a placement. */
export const MIN_REJECTION_BACKOFF_MS = 250;
export const MAX_REJECTION_BACKOFF_MS = 10 * 60_000;
/** Classes whose rejection a node is remembered for; beyond that it takes nothing until one is forgotten. */
export const MAX_REJECTIONS_PER_NODE = 256;

/** Steps of background work (dependents of ended jobs, jobs of deleted queues) that one turn takes. */
export const BACKGROUND_STEPS = 2_000;

/** What a node's measured memory is rounded up to: a part of what it offers. */
export const MEASURED_MEMORY_PARTS = 32;

/**
 * Numbers left out when the epoch rises. The jobs that were lost had numbers, on nodes, in logs and on paper; they are never
 * given to others.
 */
export const EPOCH_NUMBER_GAP = 10_000_000;
