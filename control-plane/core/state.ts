import type { Change, Position } from '../store/store.ts';
import type { ArrayState } from './arrays/array-state.ts';
import type { RangeSet } from './arrays/range-set.ts';
import type { ClusterRecord, DefinitionRecord } from './records/config.ts';
import type { CapacityIndex } from './scheduler/capacity-index.ts';
import type { ClassHeap } from './scheduler/class-heap.ts';
import { ReadyJobs } from './scheduler/ready-jobs.ts';
import { ClassTable } from './tables/class-table.ts';
import { DependencyEdges } from './tables/dependency-edges.ts';
import { Interner } from './tables/interner.ts';
import { JobTable } from './tables/job-table.ts';
import type {
  JobIdBytes,
  NamedCount,
  NodeOffer,
  NodeState,
  Output,
  Pause,
  Requirements,
  RetryPolicy,
} from './types.ts';
import type { OrphanView } from './view.ts';

/** A job queue. Its index is what jobs and classes refer to. */
export interface Queue {
  readonly index: number;
  readonly account: string;
  readonly name: string;
  readonly createdAtMs: number;
  priority: number;
  enabled: boolean;
  /** Deleted; its waiting jobs are being ended, and it goes with its last job. */
  deleting: boolean;
  /** Where the search for jobs to end goes on. */
  deletionRow: number;
  environmentNames: readonly string[];
  environments: Environment[];
  tags: Readonly<Record<string, string>>;
  version: number;
  /** Classes with ready jobs that are worth trying, and those that did not fit. */
  readonly heap: ClassHeap;
  readonly parked: number[];
  /** Live jobs by state; index 0 is unused. */
  readonly counts: number[];
}

export interface Environment {
  readonly account: string;
  readonly name: string;
  readonly createdAtMs: number;
  enabled: boolean;
  placement: 'pack' | 'spread';
  tags: Readonly<Record<string, string>>;
  version: number;
  readonly index: CapacityIndex;
  readonly nodesBySlot: (Node | undefined)[];
  /** Where the next search begins when placements are spread. */
  cursor: number;
  /** Some node has more room than when its classes were parked. */
  freed: boolean;
}

/** An attempt on a node. Objects exist only for work that is placed. */
export interface Placed {
  readonly slot: number;
  readonly row: number;
  /** Of an array; NONE: the job is a plain one. */
  readonly child: number;
  readonly node: Node;
  readonly attempt: number;
  readonly sequence: number;
  readonly incarnation: string;
  /** The epoch that placed it. */
  readonly epoch: number;
  readonly requirements: Requirements;
  readonly placedAtMs: number;
  startedAtMs: number;
  /** The node has journaled it: no longer on its credit. */
  accepted: boolean;
  /** Somebody asked for its end. */
  stopping: boolean;
  stopReason: string;
  stopGraceSeconds: number | undefined;
}

/** What an attempt that was given up still holds on its node, until the node says that it is gone. */
export interface Ghost {
  readonly jobId: JobIdBytes;
  readonly childIndex: number;
  readonly attempt: number;
  /** The epoch that gave it up: only that one may stop it. */
  readonly epoch: number;
  readonly requirements: Requirements;
}

export interface Node {
  readonly account: string;
  readonly name: string;
  readonly joinedAtMs: number;
  environment: Environment;
  slot: number;
  incarnation: string;
  bootId: string;
  offer: NodeOffer;
  drainReason: string | undefined;
  off: boolean;
  version: number;
  state: NodeState;
  connected: boolean;
  session: number;
  credit: number;
  /** Placements that the node has not answered. */
  unanswered: number;
  /** The highest placement sequence used. */
  sequence: number;
  lastHeardElapsedMs: number;
  lastSeenAtMs: number;
  lost: boolean;
  silent: boolean;
  waitExpired: boolean;
  /** Classes that the node rejected, by the class's serial: not offered to it again before `untilMs` of elapsed time. */
  readonly rejections: Map<number, { readonly untilMs: number; readonly reason: string }>;
  /** What is really free, rounded up; Infinity when not known. */
  measuredMemoryBytes: number;
  freeMilliVcpu: number;
  freeMemoryBytes: number;
  readonly freeNamed: Map<string, number>;
  /** By slot. */
  readonly attempts: Map<number, Placed>;
  readonly ghosts: Map<string, Ghost>;
  orphans: OrphanView[];
}

/** The revisions of one definition name, oldest first. */
export interface DefinitionFamily {
  readonly account: string;
  readonly name: string;
  readonly revisions: DefinitionRecord[];
}

/** What a turn gathers until it is taken. */
export interface TurnBuffer {
  changes: Change[];
  bytes: number;
  outputs: Output[];
  dirtyRows: number[];
  /** Rows of arrays with children to write, and of those whose counts changed. */
  dirtyArrays: Set<number>;
  changedArrays: Set<number>;
}

export function emptyBuffer(): TurnBuffer {
  return { changes: [], bytes: 0, outputs: [], dirtyRows: [], dirtyArrays: new Set(), changedArrays: new Set() };
}

/** Children of an array that ended, for those that wait for them child by child. */
export interface ChildrenToTell {
  readonly row: number;
  /** NONE: those in `failed`. */
  readonly child: number;
  readonly failed: RangeSet;
  /** The array's followers at the time; later ones saw it when they were submitted. */
  readonly followers: number;
}

/** Everything the core knows. Free functions over it do the work. */
export class CoreState {
  readonly jobs = new JobTable();
  /** Arrays by row, until their row is given back. */
  readonly arrays = new Map<number, ArrayState>();
  /** Children of all of them. */
  children = 0;
  readonly classes = new ClassTable();
  readonly edges = new DependencyEdges();
  readonly ready = new ReadyJobs(this.jobs, this.classes);
  readonly users = new Interner<string>();
  readonly submitters = new Interner<string>();
  readonly definitionPins = new Interner<string>(100_000);
  readonly retries = new Interner<RetryPolicy>();
  readonly queues: (Queue | undefined)[] = [];
  readonly queuesByName = new Map<string, Queue>();
  /** By priority, highest first, then name; rebuilt when a queue changes. */
  queueOrder: Queue[] = [];
  readonly environments = new Map<string, Environment>();
  readonly nodes = new Map<string, Node>();
  readonly definitions = new Map<string, DefinitionFamily>();
  readonly placed: (Placed | undefined)[] = [];
  readonly freePlaced: number[] = [];
  /** Rows that ended and whose dependents are still to be told, in order. */
  readonly endedWithDependents: number[] = [];
  readonly childrenToTell: ChildrenToTell[] = [];
  readonly retired: { row: number; turn: number }[] = [];
  retiredHead = 0;
  /** The last turn any of whose ended jobs has left memory. */
  evictedTurn = Number.NEGATIVE_INFINITY;
  durableTurn = -1;

  cluster: ClusterRecord;
  clusterDirty = false;
  position: Position;
  raiseEpoch = false;
  /** The highest epoch that anybody has seen. */
  witnessedEpoch: number;
  loss: Pause | undefined;
  restored: Pause | undefined;
  awaitedNodes: Set<string>;
  turn = 0;
  wallMs: number;
  elapsedMs = 0;
  nextLivenessMs = 0;
  readonly counts: number[] = [0, 0, 0, 0, 0, 0, 0, 0];
  buffer: TurnBuffer = emptyBuffer();

  constructor(cluster: ClusterRecord, position: Position, wallMs: number) {
    this.cluster = cluster;
    this.position = position;
    this.witnessedEpoch = position.epoch;
    this.awaitedNodes = new Set(cluster.awaitedNodes);
    this.wallMs = Math.max(wallMs, cluster.wallMs);
  }
}

/** The key of a named thing of an account in the maps above. */
export function scoped(account: string, name: string): string {
  return `${account}/${name}`;
}

/** Nothing asked for, nothing offered. */
export const NO_NAMED: readonly NamedCount[] = [];

export function put(core: CoreState, key: Uint8Array, value: Uint8Array): void {
  core.buffer.changes.push({ key, value });
  core.buffer.bytes += key.length + value.length;
}

export function remove(core: CoreState, key: Uint8Array): void {
  core.buffer.changes.push({ key, value: undefined });
  core.buffer.bytes += key.length;
}

export function emit(core: CoreState, output: Output): void {
  core.buffer.outputs.push(output);
}

/** Notes a change of what the cluster record keeps. */
export function updateCluster(core: CoreState, change: Partial<ClusterRecord>): void {
  core.cluster = { ...core.cluster, ...change };
  core.clusterDirty = true;
}
