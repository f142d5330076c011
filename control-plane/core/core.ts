import type { Change, Position } from '../store/store.ts';
import { writeChildren } from './arrays/persist.ts';
import { assertNever } from './assert.ts';
import { pauseScheduling, resumeScheduling } from './cluster.ts';
import { deregisterDefinition, registerDefinition } from './config/definitions.ts';
import { createEnvironment, deleteEnvironment, updateEnvironment } from './config/environments.ts';
import { createQueue, deleteQueue, drainDeletedQueues, updateQueue } from './config/queues.ts';
import { cancelJobs, holdJobs, releaseJobs } from './jobs/cancel.ts';
import { tellDependents } from './jobs/dependencies.ts';
import { evictRetired } from './jobs/retire.ts';
import { submitJobs } from './jobs/submit.ts';
import { queueOf } from './jobs/transition.ts';
import { BACKGROUND_STEPS, MAX_TICK_MS } from './limits.ts';
import { confirmNodeOff, deleteNode, drainNode, undrainNode } from './nodes/admin.ts';
import { connectNode } from './nodes/connect.ts';
import { checkLiveness } from './nodes/liveness.ts';
import { nodeDisconnected, nodeHeartbeat, nodeOfferChanged, nodeReports } from './nodes/session.ts';
import { encodeRecord } from './records/config.ts';
import { CLUSTER_KEY, liveJobKey } from './records/keys.ts';
import { encodeLiveJob } from './records/live-job.ts';
import { sanityCheck } from './sanity.ts';
import { schedulePass } from './scheduler/pass.ts';
import { liveJobRecord } from './snapshot.ts';
import { type CoreState, emit, emptyBuffer, put, remove } from './state.ts';
import { JobFlag } from './tables/job-table.ts';
import { type Input, isTerminal, type Output, type Replies, type Reply, type Tick } from './types.ts';
import type { CoreView } from './view.ts';
import { viewOf } from './view-of-core.ts';

/** Bytes of a live job's header that has not been encoded yet, as `pendingBytes` counts it. */
const HEADER_BYTES_ESTIMATE = 256;

/** What one turn brought about. */
export interface Turn {
  /** Where its batch goes in the store's history. Unchanged when there is nothing to commit. */
  readonly position: Position;
  readonly changes: Change[];
  readonly outputs: Output[];
  readonly turn: number;
}

/**
 * The deterministic heart (DESIGN D1): inputs in, replies at once, changes and outputs gathered until the turn is taken.
 * Pure and synchronous; whoever drives it commits the changes before anything else leaves.
 */
export class Core {
  readonly view: CoreView;
  private readonly state: CoreState;

  /** Use `CoreLoader`: a core is always made from a store's records. */
  constructor(state: CoreState) {
    this.state = state;
    this.view = viewOf(state);
  }

  /** Applies one input and answers. The answer may leave only after the turn is durable. */
  apply<I extends Input>(input: I): Reply<I> {
    return dispatch(this.state, input) as Reply<I>;
  }

  /** Places what fits and goes on with background work, in at most about `stepBudget` steps. True: there is more to do. */
  schedule(stepBudget: number): boolean {
    const { state } = this;
    const telling = tellDependents(state, BACKGROUND_STEPS);
    const deleting = drainDeletedQueues(state, BACKGROUND_STEPS);
    const placing = schedulePass(state, stepBudget);
    return telling || deleting || placing;
  }

  /** About how many bytes the turn's changes have by now. */
  get pendingBytes(): number {
    const { bytes, dirtyRows } = this.state.buffer;
    return bytes + dirtyRows.length * HEADER_BYTES_ESTIMATE;
  }

  /** Ends the turn and hands out what it brought about. */
  takeTurn(): Turn {
    const { state } = this;
    writeHeaders(state);
    writeChildren(state);
    tellChanges(state);
    const { changes, outputs } = state.buffer;
    if (changes.length > 0 || state.clusterDirty || state.raiseEpoch) {
      const { epoch, sequence } = state.position;
      const raised = Math.max(epoch, state.witnessedEpoch) + 1;
      state.position = state.raiseEpoch ? { epoch: raised, sequence: 1 } : { epoch, sequence: sequence + 1 };
      state.raiseEpoch = false;
      state.cluster = { ...state.cluster, epoch: state.position.epoch, wallMs: state.wallMs };
      state.clusterDirty = false;
      put(state, CLUSTER_KEY, encodeRecord(state.cluster));
    }
    const taken: Turn = { position: state.position, changes, outputs, turn: state.turn };
    state.buffer = emptyBuffer();
    state.turn += 1;
    evictRetired(state);
    return taken;
  }

  /** The turn's batch is durable: its ended jobs may leave memory in time. */
  turnDurable(turn: number): void {
    this.state.durableTurn = Math.max(this.state.durableTurn, turn);
  }

  /** Somebody watches this job, or nobody does any more: see `JobChanged`. */
  setWatched(row: number, watched: boolean): void {
    this.state.jobs.setFlag(row, JobFlag.watched, watched);
  }

  /** Derives every index anew and compares. Throws an AssertionError that names the first difference. */
  sanityCheck(): void {
    sanityCheck(this.state);
  }
}

function writeHeaders(state: CoreState): void {
  const { jobs } = state;
  for (const row of state.buffer.dirtyRows) {
    jobs.setFlag(row, JobFlag.dirty, false);
    if (isTerminal(jobs.state(row))) continue;
    const queue = state.queues[jobs.get('queue', row)];
    put(state, liveJobKey(queue?.account ?? '', jobs.get('number', row)), encodeLiveJob(liveJobRecord(state, row)));
  }
}

/** An array tells of its children once a turn, however many of them changed. */
function tellChanges(state: CoreState): void {
  const { jobs } = state;
  for (const row of state.buffer.changedArrays) {
    const now = jobs.state(row);
    if (isTerminal(now)) continue;
    const { account, name: queue } = queueOf(state, row);
    const number = jobs.get('number', row);
    emit(state, { kind: 'jobChanged', row, number, account, queue, from: now, to: now });
  }
}

function tick(state: CoreState, { wallMs, elapsedMs }: Tick): undefined {
  state.wallMs = Math.max(state.wallMs, wallMs);
  state.elapsedMs += Math.min(MAX_TICK_MS, Math.max(0, elapsedMs));
  checkLiveness(state);
  return undefined;
}

function dispatch(state: CoreState, input: Input): Replies[Input['kind']] {
  switch (input.kind) {
    case 'tick':
      return tick(state, input);
    case 'submitJobs':
      return submitJobs(state, input);
    case 'cancelJobs':
      return cancelJobs(state, input);
    case 'holdJobs':
      return holdJobs(state, input.jobs);
    case 'releaseJobs':
      return releaseJobs(state, input.jobs);
    case 'createQueue':
      return createQueue(state, input);
    case 'updateQueue':
      return updateQueue(state, input);
    case 'deleteQueue':
      return deleteQueue(state, input);
    case 'createEnvironment':
      return createEnvironment(state, input);
    case 'updateEnvironment':
      return updateEnvironment(state, input);
    case 'deleteEnvironment':
      return deleteEnvironment(state, input);
    case 'registerDefinition':
      return registerDefinition(state, input);
    case 'deregisterDefinition':
      return deregisterDefinition(state, input);
    case 'pause':
      return pauseScheduling(state, input);
    case 'resume':
      return resumeScheduling(state, input);
    case 'expire':
      for (const key of input.keys) remove(state, key);
      return undefined;
    case 'nodeConnected':
      return connectNode(state, input);
    case 'nodeReports':
      return nodeReports(state, input);
    case 'nodeHeartbeat':
      return nodeHeartbeat(state, input);
    case 'nodeOffer':
      return nodeOfferChanged(state, input);
    case 'nodeDisconnected':
      return nodeDisconnected(state, input);
    case 'drainNode':
      return drainNode(state, input);
    case 'undrainNode':
      return undrainNode(state, input);
    case 'confirmNodeOff':
      return confirmNodeOff(state, input);
    case 'deleteNode':
      return deleteNode(state, input);
    default:
      return assertNever(input);
  }
}
