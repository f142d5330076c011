import { arrayOf, isArray } from '../arrays/children.ts';
import { known } from '../assert.ts';
import { attemptOf, setAttempt, setPlaced, setUnitState } from '../jobs/unit.ts';
import { chargeNode, refreshNode, takesFeatures } from '../nodes/capacity.ts';
import { type CoreState, type Environment, emit, type Node, type Placed, type Queue, scoped } from '../state.ts';
import { NONE } from '../tables/job-table.ts';
import { JobState } from '../types.ts';
import { park, removeReady, unpark } from './queueing.ts';

/** Whether anything may be placed at all. */
export function isOpen(core: CoreState): boolean {
  return (
    core.cluster.pause === undefined &&
    core.loss === undefined &&
    core.restored === undefined &&
    core.awaitedNodes.size === 0
  );
}

/**
 * Places ready jobs: queues by priority, classes of a queue in order, a class's jobs one by one, each on the first node
 * with room in the queue's environments, tried in order. A class that does not fit is parked. Takes at most `budget`
 * steps; true when it stopped for that and would go on.
 */
export function schedulePass(core: CoreState, budget: number): boolean {
  if (!isOpen(core)) return false;
  unparkWhatMayFit(core);
  let steps = budget;
  for (const queue of core.queueOrder) {
    while (queue.heap.top !== NONE) {
      if (steps-- <= 0) return true;
      const cls = queue.heap.top;
      const node = findNode(core, queue, cls);
      if (node === undefined) park(core, queue, cls);
      else place(core, queue, core.ready.head(cls), node);
    }
  }
  return false;
}

function unparkWhatMayFit(core: CoreState): void {
  for (const queue of core.queueOrder) {
    if (queue.parked.length === 0) continue;
    const freed = queue.environments.filter((environment) => environment.freed && environment.enabled);
    if (freed.length > 0) unpark(core, queue, freed);
  }
  for (const environment of core.environments.values()) environment.freed = false;
}

/** The node that the next job of a class goes to, if any has room. */
export function findNode(core: CoreState, queue: Queue, cls: number): Node | undefined {
  const requirements = core.classes.requirements(cls);
  const serial = core.classes.serial[cls] as number;
  for (const environment of queue.environments) {
    if (!environment.enabled) continue;
    const from = environment.placement === 'spread' ? environment.cursor : 0;
    const accepts = (slot: number): boolean => {
      const node = environment.nodesBySlot[slot];
      return (
        node !== undefined &&
        !node.rejections.has(serial) &&
        requirements.named.every(({ name, count }) => (node.freeNamed.get(name) ?? 0) >= count) &&
        takesFeatures(node.offer, requirements)
      );
    };
    const slot = environment.index.find(requirements.milliVcpu, requirements.memoryBytes, accepts, from);
    if (slot !== NONE) return nodeAt(environment, slot);
  }
  return undefined;
}

function nodeAt(environment: Environment, slot: number): Node {
  environment.cursor = slot + 1;
  return known(environment.nodesBySlot[slot], 'node of a slot');
}

function place(core: CoreState, queue: Queue, row: number, node: Node): void {
  const { jobs } = core;
  const child = isArray(core, row) ? arrayOf(core, row).ready.first() : NONE;
  if (child === NONE) removeReady(core, row);
  node.sequence += 1;
  const placed = addPlaced(core, {
    row,
    child,
    node,
    attempt: attemptOf(core, row, child) + 1,
    sequence: node.sequence,
    incarnation: node.incarnation,
    epoch: core.position.epoch,
    requirements: core.classes.requirements(jobs.get('class', row)),
    placedAtMs: core.wallMs,
    startedAtMs: 0,
    accepted: false,
    stopping: false,
    stopReason: '',
    stopGraceSeconds: undefined,
  });
  setAttempt(core, row, child, placed.attempt);
  setUnitState(core, row, child, JobState.starting);
  emitPlacement(core, queue, placed);
}

/** Registers an attempt on its node, which it charges. */
export function addPlaced(core: CoreState, attempt: Omit<Placed, 'slot'>): Placed {
  const slot = core.freePlaced.pop() ?? core.placed.length;
  const placed: Placed = { slot, ...attempt };
  core.placed[slot] = placed;
  setPlaced(core, attempt.row, attempt.child, placed);
  attempt.node.attempts.set(slot, placed);
  if (!attempt.accepted) attempt.node.unanswered += 1;
  chargeNode(attempt.node, attempt.requirements, 1);
  refreshNode(attempt.node);
  return placed;
}

/** Takes an attempt off its node. `keepCharged` leaves its resources to a ghost. */
export function removePlaced(core: CoreState, placed: Placed, keepCharged = false): void {
  const { node, row, child } = placed;
  core.placed[placed.slot] = undefined;
  core.freePlaced.push(placed.slot);
  setPlaced(core, row, child, undefined);
  node.attempts.delete(placed.slot);
  if (!placed.accepted) node.unanswered -= 1;
  if (!keepCharged) chargeNode(node, placed.requirements, -1);
  refreshNode(node);
}

/** Sends an attempt to its node, or sends it again: the node tells by the sequence. */
export function emitPlacement(core: CoreState, queue: Queue, placed: Placed): void {
  const { jobs } = core;
  const { row, node } = placed;
  emit(core, {
    kind: 'place',
    account: node.account,
    node: node.name,
    session: node.session,
    jobId: jobs.id(row),
    childIndex: placed.child,
    number: jobs.get('number', row),
    attempt: placed.attempt,
    sequence: placed.sequence,
    queue: queue.name,
    environment: node.environment.name,
    definition: core.definitionPins.get(jobs.get('definition', row)),
    user: core.users.get(jobs.get('user', row)),
    onNodeLost: jobs.onNodeLost(row),
    milliVcpu: placed.requirements.milliVcpu,
    memoryBytes: placed.requirements.memoryBytes,
  });
  if (placed.stopping) emitStop(core, placed);
}

/** Tells a node to stop an attempt. Said again whenever the node connects, until the attempt is over. */
export function emitStop(core: CoreState, placed: Placed): void {
  emit(core, {
    kind: 'stop',
    account: placed.node.account,
    node: placed.node.name,
    session: placed.node.session,
    jobId: core.jobs.id(placed.row),
    childIndex: placed.child,
    attempt: placed.attempt,
    reason: placed.stopReason,
    graceSeconds: placed.stopGraceSeconds,
  });
}

export function nodeOf(core: CoreState, account: string, name: string): Node | undefined {
  return core.nodes.get(scoped(account, name));
}
