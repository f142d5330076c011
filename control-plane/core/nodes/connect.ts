import { loseAttempt } from '../jobs/attempt-end.ts';
import { queueOf } from '../jobs/transition.ts';
import { MAX_NODES } from '../limits.ts';
import { emitPlacement, emitStop, nodeOf } from '../scheduler/pass.ts';
import { type CoreState, type Environment, type Node, scoped, updateCluster } from '../state.ts';
import { type AttemptKey, type NodeConnected, NodeState, type Refusal, type Replies } from '../types.ts';
import { recomputeFree } from './capacity.ts';
import { ghostKey } from './ghosts.ts';
import { updateNodeState } from './node-state.ts';
import { writeNode } from './records.ts';
import { applyReport } from './reports.ts';

/**
 * An agent says hello, with everything that it holds; the node is brought in line with it. Attempts that it does not name
 * are sent again: the agent runs what it never heard of, and tells what it knows of the others. Those that this store
 * lost are adopted.
 */
export function connectNode(core: CoreState, input: NodeConnected): Replies['nodeConnected'] {
  const environment = core.environments.get(scoped(input.account, input.environment));
  if (environment === undefined) {
    return refuse('notFound', 'compute_environment', `compute environment "${input.environment}" does not exist`);
  }
  const found = nodeOf(core, input.account, input.node);
  if (found === undefined && core.nodes.size >= MAX_NODES)
    return refuse('exhausted', 'node_name', `${MAX_NODES} nodes are known, which is the most`);
  if (core.awaitedNodes.has(scoped(input.account, input.node)) && !input.completeHistory) {
    return refuse(
      'failedPrecondition',
      'complete_history',
      'the epoch changed; everything that the node remembers is needed',
    );
  }
  noteWitness(core, input);
  const node = found ?? addNode(core, environment, input);
  moveTo(core, node, environment);
  const incarnationBefore = node.incarnation;
  Object.assign(node, {
    session: input.session,
    connected: true,
    off: false,
    lost: false,
    silent: false,
    waitExpired: false,
    credit: input.credit,
    offer: input.offer,
    incarnation: input.incarnation,
    bootId: input.bootId,
    lastHeardElapsedMs: core.elapsedMs,
    lastSeenAtMs: core.wallMs,
    orphans: [],
    version: node.version + 1,
  });
  node.rejections.clear();
  if (incarnationBefore !== input.incarnation) {
    node.sequence = 0;
    node.ghosts.clear();
  }
  node.sequence = Math.max(node.sequence, input.watermark);
  recomputeFree(node);
  updateNodeState(core, node, 'its agent connected');
  const release = reconcile(core, node, input);
  if (!input.historyContinues) stopAwaiting(core, node);
  writeNode(core, node);
  updateNodeState(core, node, 'its agent connected');
  const believed = [...node.attempts.values()].map(({ row, child, attempt }) => ({
    jobId: core.jobs.id(row),
    childIndex: child,
    attempt,
  }));
  return { ok: true, believed, release };
}

function refuse(code: Refusal['code'], field: string, message: string): Refusal {
  return { ok: false, code, field, message };
}

/** An agent that was sent more than this store has proves a loss: nothing is placed until an operator accepts it. */
function noteWitness(core: CoreState, { witness, node }: NodeConnected): void {
  const { epoch, sequence } = core.position;
  core.witnessedEpoch = Math.max(core.witnessedEpoch, witness.epoch);
  const ahead = witness.epoch > epoch || (witness.epoch === epoch && witness.sequence > sequence);
  if (!ahead || core.loss !== undefined) return;
  const message = `node "${node}" has seen position ${witness.epoch}.${witness.sequence}, this store ends at ${epoch}.${sequence}: committed work is missing`;
  core.loss = { cause: 'loss', message, sinceMs: core.wallMs };
}

/** A node is heard of for the first time, here or at load. */
export function addNode(
  core: CoreState,
  environment: Environment,
  facts: Pick<Node, 'account' | 'incarnation' | 'bootId' | 'offer'> & { readonly node: string },
): Node {
  const node: Node = {
    account: facts.account,
    name: facts.node,
    joinedAtMs: core.wallMs,
    environment,
    slot: environment.index.add(),
    incarnation: facts.incarnation,
    bootId: facts.bootId,
    offer: facts.offer,
    drainReason: undefined,
    off: false,
    version: 0,
    state: NodeState.joined,
    connected: false,
    session: 0,
    credit: 0,
    unanswered: 0,
    sequence: 0,
    lastHeardElapsedMs: core.elapsedMs,
    lastSeenAtMs: 0,
    lost: false,
    silent: false,
    waitExpired: false,
    rejections: new Map(),
    measuredMemoryBytes: Number.POSITIVE_INFINITY,
    freeMilliVcpu: 0,
    freeMemoryBytes: 0,
    freeNamed: new Map(),
    attempts: new Map(),
    ghosts: new Map(),
    orphans: [],
  };
  environment.nodesBySlot[node.slot] = node;
  core.nodes.set(scoped(node.account, node.name), node);
  recomputeFree(node);
  return node;
}

function moveTo(core: CoreState, node: Node, environment: Environment): void {
  if (node.environment === environment) return;
  leaveEnvironment(node);
  node.environment = environment;
  node.slot = environment.index.add();
  environment.nodesBySlot[node.slot] = node;
  updateNodeState(core, node, `it belongs to compute environment "${environment.name}" now`);
}

export function leaveEnvironment(node: Node): void {
  node.environment.nodesBySlot[node.slot] = undefined;
  node.environment.index.remove(node.slot);
}

function reconcile(core: CoreState, node: Node, input: NodeConnected): AttemptKey[] {
  for (const placed of [...node.attempts.values()]) {
    if (placed.incarnation !== input.incarnation) {
      loseAttempt(core, placed, 'the agent lost its state directory, and with it what became of this attempt', false);
    }
  }
  const release: AttemptKey[] = [];
  const reported = new Set<string>();
  const reportedSequences = new Set<number>();
  for (const report of input.attempts) {
    const { jobId, childIndex, attempt } = report;
    reported.add(ghostKey(jobId, childIndex, attempt));
    reportedSequences.add(report.placementSequence);
    if (applyReport(core, node, report)) release.push({ jobId, childIndex, attempt });
  }
  for (const key of [...node.ghosts.keys()]) if (!reported.has(key)) node.ghosts.delete(key);
  recomputeFree(node);
  // The node ignores what is not above its watermark: what is sent again goes in order.
  const inOrder = [...node.attempts.values()].sort((a, b) => a.sequence - b.sequence);
  for (const placed of inOrder) {
    if (!reportedSequences.has(placed.sequence)) emitPlacement(core, queueOf(core, placed.row), placed);
    else if (placed.stopping) emitStop(core, placed);
  }
  return release;
}

/** The node has said everything that it knows. */
export function stopAwaiting(core: CoreState, node: Node): void {
  if (!core.awaitedNodes.delete(scoped(node.account, node.name))) return;
  updateCluster(core, { awaitedNodes: [...core.awaitedNodes] });
}
