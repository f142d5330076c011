import type { Integrity, Position } from '../store/store.ts';
import { arrayOf } from './arrays/children.ts';
import { ChildrenLoader } from './arrays/load.ts';
import { addArray, openArray } from './arrays/open.ts';
import { startEpoch } from './cluster.ts';
import { addRevision } from './config/definitions.ts';
import { addEnvironment } from './config/environments.ts';
import { addQueue } from './config/queues.ts';
import { Core } from './core.ts';
import { addRow, connect, settle } from './jobs/submit.ts';
import { count } from './jobs/transition.ts';
import { recomputeFree } from './nodes/capacity.ts';
import { addNode } from './nodes/connect.ts';
import { ghostKey } from './nodes/ghosts.ts';
import { updateNodeState } from './nodes/node-state.ts';
import {
  type ClusterRecord,
  type DefinitionRecord,
  decodeRecord,
  type EnvironmentRecord,
  type NodeRecord,
  type QueueRecord,
} from './records/config.ts';
import { decodeLiveJob, type LiveArrayRecord, type LiveJobRecord } from './records/live-job.ts';
import { addPlaced } from './scheduler/pass.ts';
import { addReady } from './scheduler/queueing.ts';
import { CoreState, type Queue, scoped, updateCluster } from './state.ts';
import { JobFlag, NONE } from './tables/job-table.ts';
import { DependencyType, JobState, type NewDependency } from './types.ts';

/** The cluster record of a store that has none yet. */
export const NEW_CLUSTER: ClusterRecord = {
  accounts: ['default'],
  nextNumber: 1,
  wallMs: 0,
  epoch: 0,
  pause: undefined,
  awaitedNodes: [],
  endedJobs: 0,
  adoptedAttempts: 0,
  restoredAtMs: undefined,
};

/** A pending job whose dependencies have to be looked up before it can be settled. */
export interface PendingDependent {
  readonly account: string;
  readonly number: number;
}

/**
 * Rebuilds a core from a store's records. Feed them table by table: environments, queues, definitions, nodes, live jobs in
 * the order of their numbers; then the children of every array in `arrays`, the dependencies of every job in `dependents`,
 * and `finish`.
 */
export class CoreLoader {
  /** Pending jobs with dependencies: their specs name them. */
  readonly dependents: PendingDependent[] = [];
  /** Live arrays: what is known of their children is in records of their own. */
  readonly arrays: PendingDependent[] = [];
  /** Rows of arrays with a dependency that can never be met. */
  private readonly failedArrays = new Set<number>();
  private readonly core: CoreState;
  private readonly isNew: boolean;

  constructor(options: { cluster: Uint8Array | undefined; position: Position; integrity: Integrity; wallMs: number }) {
    const { position, integrity } = options;
    const cluster = options.cluster === undefined ? NEW_CLUSTER : decodeRecord<ClusterRecord>(options.cluster);
    this.isNew = options.cluster === undefined;
    this.core = new CoreState(cluster, position, options.wallMs);
    if (integrity.kind === 'behind') this.core.witnessedEpoch = Math.max(position.epoch, integrity.witness.epoch);
    const message = lossMessage(integrity, position);
    if (message !== undefined) this.core.loss = { cause: 'loss', message, sinceMs: this.core.wallMs };
  }

  get accounts(): readonly string[] {
    return this.core.cluster.accounts;
  }

  environment(value: Uint8Array): void {
    addEnvironment(this.core, decodeRecord<EnvironmentRecord>(value));
  }

  queue(value: Uint8Array): void {
    addQueue(this.core, decodeRecord<QueueRecord>(value));
  }

  definition(value: Uint8Array): void {
    addRevision(this.core, decodeRecord<DefinitionRecord>(value));
  }

  node(value: Uint8Array): void {
    const record = decodeRecord<NodeRecord>(value);
    const environment = this.core.environments.get(scoped(record.account, record.environment));
    if (environment === undefined)
      throw new Error(`node "${record.name}" names compute environment "${record.environment}", which is not there`);
    const node = addNode(this.core, environment, { ...record, node: record.name });
    Object.assign(node, {
      joinedAtMs: record.joinedAtMs,
      drainReason: record.drainReason,
      off: record.off,
      version: record.version,
    });
    for (const ghost of record.ghosts) {
      const jobId = Buffer.from(ghost.jobId, 'hex');
      const childIndex = ghost.childIndex ?? NONE;
      node.ghosts.set(ghostKey(jobId, childIndex, ghost.attempt), { ...ghost, jobId, childIndex });
    }
    recomputeFree(node);
    updateNodeState(this.core, node, 'known from before');
  }

  liveJob(account: string, value: Uint8Array): void {
    const { core } = this;
    const record = decodeLiveJob(value);
    const queue = core.queuesByName.get(scoped(account, record.queue));
    if (queue === undefined)
      throw new Error(`job ${record.number} is in job queue "${record.queue}", which is not there`);
    const row = addRow(core, { ...record, queue });
    const { jobs } = core;
    jobs.setState(row, record.state);
    jobs.setFlag(row, record.flags, true);
    jobs.set('attempt', row, record.attempt);
    jobs.set('runnableAt', row, record.runnableAtMs);
    if (record.array === undefined) count(core, row, record.state, 1);
    else this.addArray(account, row, record.array);
    if (record.state === JobState.runnable) addReady(core, row);
    if (record.placed !== undefined) this.place(row, queue, record, record.placed);
    if (record.state !== JobState.pending) return;
    if (jobs.has(row, JobFlag.dependent)) this.dependents.push({ account, number: record.number });
  }

  private addArray(account: string, row: number, record: LiveArrayRecord): void {
    const array = addArray(this.core, row, record);
    array.closed = record.closed;
    array.reason = record.reason;
    array.stopGraceSeconds = record.stopGraceSeconds;
    this.arrays.push({ account, number: this.core.jobs.get('number', row) });
  }

  /** Takes the records of a live array's children (`arrayRange`, table `c`), in the order of their keys. */
  children(account: string, number: number): ChildrenLoader {
    return new ChildrenLoader(this.core, account, arrayOf(this.core, this.core.jobs.findByNumber(number)));
  }

  /** What a pending job waits for. Dependencies that ended while nobody looked are settled now. */
  dependencies(number: number, all: readonly NewDependency[]): void {
    const { core } = this;
    const row = core.jobs.findByNumber(number);
    // What nobody knows any more ended longer ago than jobs are kept. It was met: a dependency that fails ends whoever waits.
    const dependsOn = all.filter(({ jobId, type, ended }) => {
      return type === DependencyType.nToN || ended !== undefined || core.jobs.findById(jobId) !== NONE;
    });
    const array = core.arrays.get(row);
    if (array !== undefined) {
      // What the whole array waited for was there once it was opened; it may have been forgotten since.
      const opened = core.jobs.get('runnableAt', row) > 0 || array.closed;
      const open = opened ? dependsOn.filter(({ type }) => type === DependencyType.nToN) : dependsOn;
      if (connect(core, row, open)) this.failedArrays.add(row);
      return;
    }
    const failed = connect(core, row, dependsOn);
    const open = core.jobs.get('openDependencies', row) > 0 || core.jobs.has(row, JobFlag.held);
    if (failed || !open) settle(core, row, failed);
  }

  /** The core, ready for its first turn. */
  finish(): Core {
    const { core } = this;
    const { epoch } = core.position;
    if (!this.isNew && core.cluster.epoch < epoch) {
      // The store's epoch rose while it was closed: it was restored, or a loss was accepted.
      startEpoch(core);
      updateCluster(core, { restoredAtMs: core.wallMs, epoch });
    }
    for (const row of core.arrays.keys()) openArray(core, row, this.failedArrays.has(row));
    if (core.cluster.restoredAtMs !== undefined) {
      const message = 'the state was restored from a backup; look at what the nodes report, then resume';
      core.restored = { cause: 'restored', message, sinceMs: core.cluster.restoredAtMs };
    }
    // What was sent out before is told anew to whoever connects; nobody waits for these.
    core.buffer.outputs = [];
    return new Core(core);
  }

  private place(row: number, queue: Queue, record: LiveJobRecord, placed: NonNullable<LiveJobRecord['placed']>): void {
    const { core } = this;
    const node = core.nodes.get(scoped(queue.account, placed.node));
    if (node === undefined)
      throw new Error(`job ${record.number} is placed on node "${placed.node}", which is not there`);
    node.sequence = Math.max(node.sequence, placed.sequence);
    addPlaced(core, {
      ...placed,
      row,
      child: NONE,
      node,
      attempt: record.attempt,
      requirements: record.requirements,
      stopping: core.jobs.has(row, JobFlag.terminateRequested),
    });
  }
}

function lossMessage(integrity: Integrity, position: Position): string | undefined {
  const at = `${position.epoch}.${position.sequence}`;
  switch (integrity.kind) {
    case 'whole':
      return undefined;
    case 'behind': {
      const { epoch, sequence } = integrity.witness;
      return `the store ends at position ${at}, but ${integrity.source} has seen ${epoch}.${sequence}: committed work is missing`;
    }
    case 'hole': {
      const { epoch, sequence } = integrity.firstMissing;
      return `${integrity.missing} committed batches are missing from the store, the first at ${epoch}.${sequence}`;
    }
  }
}
