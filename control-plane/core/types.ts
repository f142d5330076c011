/**
 * The core's vocabulary: what goes in, what comes out. Inputs are values, applied in order; the same inputs give the same
 * outputs to the bit. Nothing here knows gRPC, LevelDB, a clock or a socket.
 *
 * Times are Unix milliseconds (wall) unless a name says `elapsed`; sizes are bytes, vCPUs thousandths.
 */

import type { RangeSet } from './arrays/range-set.ts';

// --- Jobs -----------------------------------------------------------------------------------------------------------

/** AWS Batch's states, numbered as in `galley.v1.JobState`. */
export const JobState = {
  submitted: 1,
  pending: 2,
  runnable: 3,
  starting: 4,
  running: 5,
  succeeded: 6,
  failed: 7,
} as const;
export type JobState = (typeof JobState)[keyof typeof JobState];

export function isTerminal(state: JobState): boolean {
  return state >= JobState.succeeded;
}

/** Why an attempt or a job ended, numbered as in `galley.v1.EndCause`. */
export const EndCause = {
  none: 0,
  exited: 1,
  signalled: 2,
  outOfMemory: 3,
  timedOut: 4,
  stopped: 5,
  launchFailed: 6,
  nodeLost: 7,
  supervisorLost: 8,
  dependencyFailed: 9,
  diskFull: 10,
  queueDeleted: 11,
  preempted: 12,
  deadline: 13,
} as const;
export type EndCause = (typeof EndCause)[keyof typeof EndCause];

/** What happens to an attempt whose node is lost, numbered as in `galley.v1.OnNodeLost`. */
export const OnNodeLost = { wait: 1, fenced: 2, rerun: 3, fail: 4 } as const;
export type OnNodeLost = (typeof OnNodeLost)[keyof typeof OnNodeLost];

/**
 * How a dependency is met, numbered as in `galley.v1.DependencyType` (0: the other job must succeed; `nToN`: between arrays
 * of one size, the child of the same index must).
 */
export const DependencyType = { afterOk: 0, nToN: 2, afterAny: 3, afterNotOk: 4 } as const;
export type DependencyType = (typeof DependencyType)[keyof typeof DependencyType];

/** 16 bytes. Compared by content. */
export type JobIdBytes = Uint8Array;

export interface NamedCount {
  readonly name: string;
  readonly count: number;
}

/** What the scheduler places by. `named` is sorted by name. */
export interface Requirements {
  readonly milliVcpu: number;
  readonly memoryBytes: number;
  readonly named: readonly NamedCount[];
  /** What the node's agent must offer, sorted: `container`, ... */
  readonly features: readonly string[];
}

export interface RetryRule {
  readonly onStatusReason: string;
  readonly onReason: string;
  readonly onExitCode: string;
  readonly action: 'retry' | 'exit';
}

/** Compiled at the edge. `attempts` is at least 1. */
export interface RetryPolicy {
  readonly attempts: number;
  readonly rules: readonly RetryRule[];
}

/** A dependency as submitted, and what the store said of a job that is over (undefined: the store does not know it). */
export interface NewDependency {
  readonly jobId: JobIdBytes;
  readonly type: DependencyType;
  readonly ended: EndedFact | undefined;
}

/** What the store says of a job that is over. */
export interface EndedFact {
  readonly number: number;
  readonly state: JobState;
  /** The digest of the request that made the job. */
  readonly digest: Uint8Array;
  /** Of an array. */
  readonly array?: { readonly size: number; readonly failed: RangeSet } | undefined;
}

/** An array job: how many children it has and how they are run. */
export interface NewArray {
  readonly size: number;
  /** Children on nodes at once. 0: no limit. */
  readonly concurrency: number;
  /** Failed children after which none is started any more. 0: none. */
  readonly failFastAfter: number;
  /** Children that run first; the others only when all of these succeeded. 0: none. */
  readonly canary: number;
  /** Each child waits for the one before it to succeed. */
  readonly sequential: boolean;
}

/** A job, or a child of an array (`child` from 0). */
export type JobTarget = JobIdBytes | { readonly jobId: JobIdBytes; readonly child: number };

/** A job to be, validated and resolved by the shell. */
export interface NewJob {
  readonly id: JobIdBytes;
  readonly account: string;
  readonly queue: string;
  /** `name:revision`, pinned. */
  readonly definition: string;
  readonly user: string;
  readonly name: string;
  readonly requirements: Requirements;
  readonly retry: RetryPolicy;
  readonly onNodeLost: OnNodeLost;
  /** 0..9999; higher first within a queue. */
  readonly priority: number;
  readonly hold: boolean;
  readonly dependsOn: readonly NewDependency[];
  /** Undefined: a plain job. */
  readonly array?: NewArray | undefined;
  /** The record's bytes as validated; the core never looks inside. */
  readonly spec: Uint8Array;
  /** 16 bytes over the request. */
  readonly digest: Uint8Array;
  /** What the store said of a job of this id that is over. */
  readonly ended: EndedFact | undefined;
}

// --- Inputs ---------------------------------------------------------------------------------------------------------

/** Time passes. Every turn begins with one. */
export interface Tick {
  readonly kind: 'tick';
  readonly wallMs: number;
  /** Since the tick before, by a clock that never jumps. The core adds at most 1,000 of them. */
  readonly elapsedMs: number;
}

export interface SubmitJobs {
  readonly kind: 'submitJobs';
  readonly mode: 'each' | 'atomic';
  readonly jobs: readonly NewJob[];
  readonly submittedBy: string;
  /** The turn whose state was durable when `ended` facts were read. */
  readonly factsTurn: number;
}

export type CancelMode = 'terminate' | 'pendingOnly';

export interface CancelJobs {
  readonly kind: 'cancelJobs';
  /** A whole array, or single children. */
  readonly jobs: readonly JobTarget[];
  readonly reason: string;
  readonly mode: CancelMode;
  readonly graceSeconds: number | undefined;
}

export interface ReleaseJobs {
  readonly kind: 'releaseJobs';
  readonly jobs: readonly JobIdBytes[];
}

export interface HoldJobs {
  readonly kind: 'holdJobs';
  readonly jobs: readonly JobIdBytes[];
}

export interface QueueSettings {
  readonly priority: number;
  readonly enabled: boolean;
  readonly environments: readonly string[];
  readonly tags: Readonly<Record<string, string>>;
}

export interface CreateQueue {
  readonly kind: 'createQueue';
  readonly account: string;
  readonly name: string;
  readonly settings: QueueSettings;
}

export interface UpdateQueue {
  readonly kind: 'updateQueue';
  readonly account: string;
  readonly name: string;
  readonly settings: Partial<QueueSettings>;
  /** 0: any. */
  readonly ifVersion: number;
}

export interface DeleteQueue {
  readonly kind: 'deleteQueue';
  readonly account: string;
  readonly name: string;
}

export interface EnvironmentSettings {
  readonly enabled: boolean;
  readonly placement: 'pack' | 'spread';
  readonly tags: Readonly<Record<string, string>>;
}

export interface CreateEnvironment {
  readonly kind: 'createEnvironment';
  readonly account: string;
  readonly name: string;
  readonly settings: EnvironmentSettings;
}

export interface UpdateEnvironment {
  readonly kind: 'updateEnvironment';
  readonly account: string;
  readonly name: string;
  readonly settings: Partial<EnvironmentSettings>;
  readonly ifVersion: number;
}

export interface DeleteEnvironment {
  readonly kind: 'deleteEnvironment';
  readonly account: string;
  readonly name: string;
}

export interface RegisterDefinition {
  readonly kind: 'registerDefinition';
  readonly account: string;
  readonly name: string;
  /** An encoded galley.v1.JobDefinition without name, revision and times; opaque here. */
  readonly body: Uint8Array;
}

export interface DeregisterDefinition {
  readonly kind: 'deregisterDefinition';
  readonly account: string;
  readonly name: string;
  readonly revision: number;
}

export interface PauseScheduling {
  readonly kind: 'pause';
  readonly reason: string;
}

export interface ResumeScheduling {
  readonly kind: 'resume';
  readonly acceptLoss: boolean;
  readonly waiveMissingNodes: boolean;
}

/** Records that are past their retention, as read from the store; the core only emits their deletion. */
export interface ExpireRecords {
  readonly kind: 'expire';
  readonly keys: readonly Uint8Array[];
}

// Agents

/** What a node offers jobs. */
export interface NodeOffer {
  readonly milliVcpu: number;
  readonly memoryBytes: number;
  readonly named: readonly NamedCount[];
  readonly features: readonly string[];
  /** False when limits are not enforced and the agent was not told to run jobs all the same: takes no jobs. */
  readonly takesJobs: boolean;
}

export type AttemptPhase = 'accepted' | 'running' | 'ended' | 'rejected';

/** How an attempt ended. */
export interface AttemptOutcome {
  readonly cause: EndCause;
  readonly exitCode: number | undefined;
  readonly signal: number | undefined;
  /** AWS's container-level text, at most 255 characters. */
  readonly reason: string;
  readonly peakMemoryBytes: number | undefined;
  readonly cpuTimeUs: number | undefined;
  /** By log stream from OUTPUT. */
  readonly logLengths: readonly number[];
  /** Of the container image that ran, `sha256:...`; empty for a process. */
  readonly imageDigest: string;
}

/** An attempt's cumulative state, as its agent reports it. */
export interface AttemptReport {
  readonly jobId: JobIdBytes;
  /** From 0; -1: the job is not a child of an array. */
  readonly childIndex: number;
  readonly attempt: number;
  readonly phase: AttemptPhase;
  /** From arrival of the placement to the start; from the start to the end; since the last change until it was sent. */
  readonly startDelayMs: number;
  readonly runDurationMs: number;
  readonly ageMs: number;
  /** Present when ended. */
  readonly outcome: AttemptOutcome | undefined;
  /** Rejected: the node's sentence and when to try it again. */
  readonly rejection: { readonly reason: string; readonly retryAfterMs: number } | undefined;
  readonly placementSequence: number;
  readonly jobName: string;
  readonly jobNumber: number;
  readonly resourcesReleased: boolean;
}

export interface NodeConnected {
  readonly kind: 'nodeConnected';
  readonly account: string;
  readonly node: string;
  readonly environment: string;
  /** Made by the shell, rising: which connection this is. */
  readonly session: number;
  readonly incarnation: string;
  readonly bootId: string;
  readonly offer: NodeOffer;
  readonly credit: number;
  readonly watermark: number;
  readonly witness: { readonly epoch: number; readonly sequence: number };
  readonly completeHistory: boolean;
  /** More of the complete history follows as reports, up to one with `historyEnded`. */
  readonly historyContinues: boolean;
  readonly attempts: readonly AttemptReport[];
}

export interface NodeReports {
  readonly kind: 'nodeReports';
  readonly account: string;
  readonly node: string;
  readonly session: number;
  /** The last report's sequence, acked once durable. */
  readonly sequence: number;
  readonly historyEnded: boolean;
  readonly reports: readonly AttemptReport[];
}

export interface NodeHeartbeat {
  readonly kind: 'nodeHeartbeat';
  readonly account: string;
  readonly node: string;
  readonly session: number;
  readonly memoryAvailableBytes: number;
}

export interface NodeOfferChanged {
  readonly kind: 'nodeOffer';
  readonly account: string;
  readonly node: string;
  readonly session: number;
  readonly offer: NodeOffer;
}

export interface NodeDisconnected {
  readonly kind: 'nodeDisconnected';
  readonly account: string;
  readonly node: string;
  readonly session: number;
}

export interface DrainNode {
  readonly kind: 'drainNode';
  readonly account: string;
  readonly node: string;
  readonly reason: string;
}

export interface UndrainNode {
  readonly kind: 'undrainNode';
  readonly account: string;
  readonly node: string;
}

export interface ConfirmNodeOff {
  readonly kind: 'confirmNodeOff';
  readonly account: string;
  readonly node: string;
}

export interface DeleteNode {
  readonly kind: 'deleteNode';
  readonly account: string;
  readonly node: string;
}

export type Input =
  | Tick
  | SubmitJobs
  | CancelJobs
  | HoldJobs
  | ReleaseJobs
  | CreateQueue
  | UpdateQueue
  | DeleteQueue
  | CreateEnvironment
  | UpdateEnvironment
  | DeleteEnvironment
  | RegisterDefinition
  | DeregisterDefinition
  | PauseScheduling
  | ResumeScheduling
  | ExpireRecords
  | NodeConnected
  | NodeReports
  | NodeHeartbeat
  | NodeOfferChanged
  | NodeDisconnected
  | DrainNode
  | UndrainNode
  | ConfirmNodeOff
  | DeleteNode;

// --- Replies --------------------------------------------------------------------------------------------------------

/** A refusal: nothing was changed. `field` names what is at fault, `code` is what the boundary maps to a status. */
export interface Refusal {
  readonly ok: false;
  readonly code:
    | 'invalid'
    | 'notFound'
    | 'alreadyExists'
    | 'failedPrecondition'
    | 'aborted'
    | 'exhausted'
    | 'staleFacts';
  readonly field: string;
  readonly message: string;
}

export interface Submitted {
  readonly ok: true;
  readonly number: number;
  readonly existed: boolean;
}

export type CancelOutcome = 'ended' | 'stopping' | 'alreadyEnded' | 'leftRunning' | 'unknownJob';

export interface Cancelled {
  readonly outcome: CancelOutcome;
  readonly state: JobState | undefined;
  readonly number: number | undefined;
}

export interface Done {
  readonly ok: true;
}

export interface Replies {
  tick: undefined;
  submitJobs: (Submitted | Refusal)[];
  cancelJobs: Cancelled[];
  holdJobs: JobIdBytes[];
  releaseJobs: JobIdBytes[];
  createQueue: Done | Refusal;
  updateQueue: Done | Refusal;
  deleteQueue: { readonly ok: true; readonly endedJobs: number } | Refusal;
  createEnvironment: Done | Refusal;
  updateEnvironment: Done | Refusal;
  deleteEnvironment: Done | Refusal;
  registerDefinition: { readonly ok: true; readonly revision: number } | Refusal;
  deregisterDefinition: Done | Refusal;
  pause: undefined;
  resume: { readonly pauses: readonly Pause[]; readonly awaitedNodes: readonly string[] };
  expire: undefined;
  /** `release`: ended attempts of the hello that the agent may forget once this is durable. */
  nodeConnected:
    | { readonly ok: true; readonly believed: readonly AttemptKey[]; readonly release: readonly AttemptKey[] }
    | Refusal;
  /** False: another session of this node has taken over. */
  nodeReports: boolean;
  nodeHeartbeat: boolean;
  nodeOffer: boolean;
  nodeDisconnected: undefined;
  drainNode: Done | Refusal;
  undrainNode: Done | Refusal;
  confirmNodeOff: { readonly ok: true; readonly endedAttempts: number } | Refusal;
  deleteNode: Done | Refusal;
}

export type Reply<I extends Input> = Replies[I['kind']];

// --- Outputs --------------------------------------------------------------------------------------------------------

export interface AttemptKey {
  readonly jobId: JobIdBytes;
  readonly childIndex: number;
  readonly attempt: number;
}

/** An attempt to send to its node. The shell reads the spec (by `number`) and resolves it. */
export interface PlaceOutput {
  readonly kind: 'place';
  readonly account: string;
  readonly node: string;
  readonly session: number;
  readonly jobId: JobIdBytes;
  readonly childIndex: number;
  readonly number: number;
  readonly attempt: number;
  /** Per node and incarnation, rising. */
  readonly sequence: number;
  readonly queue: string;
  readonly environment: string;
  readonly definition: string;
  readonly user: string;
  readonly onNodeLost: OnNodeLost;
  readonly milliVcpu: number;
  readonly memoryBytes: number;
}

export interface StopOutput {
  readonly kind: 'stop';
  readonly account: string;
  readonly node: string;
  readonly session: number;
  readonly jobId: JobIdBytes;
  readonly childIndex: number;
  readonly attempt: number;
  readonly reason: string;
  readonly graceSeconds: number | undefined;
}

/**
 * A job changed its state; for watchers. An array whose children changed theirs says so too, once a turn, with `from` and
 * `to` alike. `number` identifies it, `row` is valid until the turn after.
 */
export interface JobChanged {
  readonly kind: 'jobChanged';
  readonly row: number;
  readonly number: number;
  readonly account: string;
  readonly queue: string;
  readonly from: JobState;
  readonly to: JobState;
}

export interface NodeChanged {
  readonly kind: 'nodeChanged';
  readonly account: string;
  readonly node: string;
  readonly from: NodeState;
  readonly to: NodeState;
  readonly reason: string;
}

/** The epoch rose: every agent must say hello again, with everything that it remembers. The shell ends all sessions. */
export interface ResyncOutput {
  readonly kind: 'resync';
}

export type Output = PlaceOutput | StopOutput | JobChanged | NodeChanged | ResyncOutput;

// --- What a view shows ----------------------------------------------------------------------------------------------

/** Numbered as in `galley.v1.NodeState`. */
export const NodeState = { joined: 1, ready: 2, silent: 3, lost: 4, draining: 5, drained: 6, off: 7 } as const;
export type NodeState = (typeof NodeState)[keyof typeof NodeState];

export interface Pause {
  readonly cause: 'operator' | 'restored' | 'loss';
  readonly message: string;
  readonly sinceMs: number;
}
