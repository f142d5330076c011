import type { Position } from '../store/store.ts';
import type { RangeSet } from './arrays/range-set.ts';
import type {
  AttemptOutcome,
  EndCause,
  EnvironmentSettings,
  JobIdBytes,
  JobState,
  NodeOffer,
  NodeState,
  OnNodeLost,
  Pause,
  QueueSettings,
  Requirements,
} from './types.ts';

// What can be asked of the core between turns. Answers are plain values: they stay as they were when they were given.

/** A job that is not over. Jobs that are over are read from the store (`records/ended-job.ts`). */
export interface LiveJob {
  readonly id: JobIdBytes;
  readonly number: number;
  readonly account: string;
  readonly state: JobState;
  readonly queue: string;
  readonly definition: string;
  readonly user: string;
  readonly submittedBy: string;
  readonly requirements: Requirements;
  readonly onNodeLost: OnNodeLost;
  readonly priority: number;
  readonly held: boolean;
  readonly cancelRequested: boolean;
  readonly terminateRequested: boolean;
  readonly createdAtMs: number;
  /** 0 where it has not happened. `startedAtMs` is the current attempt's. */
  readonly runnableAtMs: number;
  readonly placedAtMs: number;
  readonly startedAtMs: number;
  /** Attempts begun so far; the current one's number while it is placed. */
  readonly attempt: number;
  /** Of the current attempt; empty when none is placed. */
  readonly node: string;
  readonly nodeSilent: boolean;
  /** Dependencies still open. */
  readonly waitingFor: number;
  /** Given with a cancel or terminate; else empty. */
  readonly reason: string;
  /** From 0, of a child of the array that `id` and `number` name; -1: a job of its own. */
  readonly child: number;
  /** Of the parent of an array. */
  readonly array: LiveArray | undefined;
}

/** The children of an array that is not over. */
export interface LiveArray {
  readonly size: number;
  /** By state, from SUBMITTED. */
  readonly counts: readonly number[];
  /** When one of them last changed its state. */
  readonly changedAtMs: number;
}

/** The children of an array that is over: those that did not fail succeeded. */
export interface EndedArray {
  readonly size: number;
  readonly succeeded: number;
  readonly failed: RangeSet;
  readonly changedAtMs: number;
}

/** A child of an array that is not over, as far as the core remembers it: how a child ended is in the store. */
export interface ChildView {
  readonly child: number;
  readonly state: JobState;
}

/** An attempt that is over, as its record keeps it. */
export interface EndedAttempt extends AttemptOutcome {
  readonly attempt: number;
  readonly node: string;
  readonly placedAtMs: number;
  readonly startedAtMs: number;
  readonly stoppedAtMs: number;
  /** AWS's attempt-level text. */
  readonly statusReason: string;
}

/** A job that is over, as its record keeps it. */
export interface EndedJob {
  readonly id: JobIdBytes;
  readonly number: number;
  readonly account: string;
  readonly state: JobState;
  readonly queue: string;
  readonly definition: string;
  readonly user: string;
  readonly submittedBy: string;
  readonly requirements: Requirements;
  readonly digest: Uint8Array;
  readonly priority: number;
  readonly cancelRequested: boolean;
  readonly terminateRequested: boolean;
  readonly createdAtMs: number;
  readonly runnableAtMs: number;
  readonly stoppedAtMs: number;
  readonly statusReason: string;
  readonly attempts: number;
  /** Undefined when it ended without ever having been placed, or while it waited to be tried again. */
  readonly lastAttempt: EndedAttempt | undefined;
  /** From 0, of a child of the array that `id` and `number` name; -1: a job of its own. */
  readonly child: number;
  /** Of the parent of an array. */
  readonly array: EndedArray | undefined;
  /** Of a child that ended while it waited: why. */
  readonly cause?: EndCause | undefined;
}

/** What an attempt leaves for accounting. */
export interface HistoryRecord extends EndedAttempt {
  readonly jobId: JobIdBytes;
  /** From 0; -1: the job is not a child of an array. */
  readonly child: number;
  readonly number: number;
  readonly account: string;
  readonly user: string;
  readonly queue: string;
  readonly definition: string;
  readonly createdAtMs: number;
  readonly milliVcpu: number;
  readonly memoryBytes: number;
  readonly succeeded: boolean;
  /** The job ended with this attempt. */
  readonly final: boolean;
}

export interface QueueView extends QueueSettings {
  readonly account: string;
  readonly name: string;
  readonly version: number;
  readonly createdAtMs: number;
  /** Live jobs by state from SUBMITTED to RUNNING. */
  readonly liveJobs: readonly number[];
}

export interface EnvironmentView extends EnvironmentSettings {
  readonly account: string;
  readonly name: string;
  readonly version: number;
  readonly createdAtMs: number;
  readonly nodes: number;
  readonly readyNodes: number;
  readonly capacity: Requirements;
  readonly allocated: Requirements;
}

export interface OrphanView {
  readonly jobId: JobIdBytes;
  readonly childIndex: number;
  readonly attempt: number;
  readonly running: boolean;
  readonly jobName: string;
  readonly startedAtMs: number;
}

export interface NodeView {
  readonly account: string;
  readonly name: string;
  readonly environment: string;
  readonly state: NodeState;
  readonly stateReason: string;
  readonly connected: boolean;
  readonly incarnation: string;
  readonly bootId: string;
  readonly offer: NodeOffer;
  readonly allocated: Requirements;
  readonly runningAttempts: number;
  readonly joinedAtMs: number;
  readonly lastSeenAtMs: number;
  readonly orphans: readonly OrphanView[];
  readonly version: number;
}

export interface DefinitionView {
  readonly account: string;
  readonly name: string;
  readonly revision: number;
  readonly active: boolean;
  readonly createdAtMs: number;
  readonly deregisteredAtMs: number;
  /** An encoded galley.v1.JobDefinition without name, revision and times. */
  readonly body: Uint8Array;
}

export interface StatusView {
  readonly position: Position;
  readonly pauses: readonly Pause[];
  readonly awaitedNodes: readonly string[];
  readonly liveJobs: readonly number[];
  readonly endedJobs: number;
  readonly nodes: number;
  readonly readyNodes: number;
  readonly capacity: Requirements;
  readonly allocated: Requirements;
  readonly adoptedAttempts: number;
}

/** Which live jobs a list shows. Absent: any. */
export interface LiveJobFilter {
  readonly account: string;
  readonly queue?: string;
  readonly states?: readonly JobState[];
  readonly user?: string;
  readonly definition?: string;
  readonly createdAfterMs?: number;
  readonly createdBeforeMs?: number;
}

/** One blocking condition: a stable code for programs and a sentence for people. */
export interface BlockerView {
  readonly code: string;
  readonly message: string;
}

export interface CoreView {
  /** Counts the turns applied since this core was loaded. */
  readonly turn: number;
  readonly wallMs: number;
  job(id: JobIdBytes): LiveJob | undefined;
  jobByNumber(number: number): LiveJob | undefined;
  /** A child of a live array that is not over; undefined otherwise. */
  child(number: number, child: number): LiveJob | undefined;
  /** Children of a live array in these states from child `from` on, at most `limit`; undefined: no such array is alive. */
  children(number: number, states: readonly JobState[], from: number, limit: number): ChildView[] | undefined;
  /** Ids of live jobs that begin with these hexadecimal digits (no dashes), at most `limit`. */
  jobsByPrefix(hexPrefix: string, limit: number): LiveJob[];
  /** Newest first, numbers below `before`, at most `limit`. */
  listLive(filter: LiveJobFilter, before: number, limit: number): LiveJob[];
  queue(account: string, name: string): QueueView | undefined;
  queues(account: string): QueueView[];
  environment(account: string, name: string): EnvironmentView | undefined;
  environments(account: string): EnvironmentView[];
  node(account: string, name: string): NodeView | undefined;
  nodes(account: string): NodeView[];
  /** `revision` undefined: the newest active one. */
  definition(account: string, name: string, revision: number | undefined): DefinitionView | undefined;
  definitions(account: string): DefinitionView[];
  /** Why a live job is not running; empty when it is. */
  blockers(id: JobIdBytes): BlockerView[];
  /** Numbers of runnable jobs in dispatch order, at most `limit`. */
  dispatchOrder(account: string, queue: string, limit: number): number[];
  status(): StatusView;
}
