import type { ArrayState } from './arrays/array-state.ts';
import { pauses } from './cluster.ts';
import { queueOf } from './jobs/transition.ts';
import { placeableMemory, takesFeatures, takesPlacements } from './nodes/capacity.ts';
import { stateReason } from './nodes/node-state.ts';
import { findNode } from './scheduler/pass.ts';
import type { CoreState, Node, Queue } from './state.ts';
import { JobFlag, NONE } from './tables/job-table.ts';
import { JobState, type NodeOffer, NodeState, type Requirements } from './types.ts';
import type { BlockerView } from './view.ts';

/** Reasons of nodes that are told, of however many there are. */
const MAX_REASONS = 5;

/** Every condition that keeps a job from starting now, found by the functions that place it. Empty when it runs. */
export function blockersOf(core: CoreState, row: number): BlockerView[] {
  const { jobs } = core;
  const state = jobs.state(row);
  if (state !== JobState.pending && state !== JobState.runnable) return [];
  const found: BlockerView[] = pauses(core).map(({ message }) => ({
    code: 'paused',
    message: `scheduling is paused: ${message}`,
  }));
  if (core.awaitedNodes.size > 0) {
    found.push({
      code: 'awaiting_nodes',
      message: `${core.awaitedNodes.size} nodes have not reported since the epoch changed`,
    });
  }
  if (jobs.has(row, JobFlag.held)) found.push({ code: 'held', message: 'the job is held; release it to let it run' });
  const open = jobs.get('openDependencies', row);
  if (open > 0) found.push({ code: 'dependencies', message: `waits for ${open} ${open === 1 ? 'job' : 'jobs'}` });
  const array = core.arrays.get(row);
  if (array !== undefined && !array.drawable) return [...found, ...blockersOfArray(array)];
  const capacity = explainCapacity(core, row);
  if (capacity !== undefined) found.push(capacity);
  return found;
}

/** Why no child is placed although the array as a whole may run; empty when none is left to place. */
function blockersOfArray(array: ArrayState): BlockerView[] {
  if (array.ready.count > 0) {
    const message = `${array.active} of its children run, which is the most that it allows at once`;
    return [{ code: 'array_concurrency', message }];
  }
  if ((array.counts[JobState.pending] as number) === 0 || array.active === 0) return [];
  const waits = array.onlyCanaries ? 'for its canaries to succeed' : 'for others that come before them';
  return [{ code: 'array_children', message: `${array.counts[JobState.pending]} of its children wait ${waits}` }];
}

function explainCapacity(core: CoreState, row: number): BlockerView | undefined {
  const cls = core.jobs.get('class', row);
  const queue = queueOf(core, row);
  if (findNode(core, queue, cls) !== undefined) return aheadOf(core, queue, row);
  const requirements = core.classes.requirements(cls);
  const environments = queue.environments.filter((environment) => environment.enabled);
  if (environments.length === 0) {
    return { code: 'no_environment', message: `no compute environment of job queue "${queue.name}" is enabled` };
  }
  const nodes = [...core.nodes.values()].filter((node) => environments.includes(node.environment));
  if (nodes.length === 0) {
    return { code: 'no_node', message: `no node belongs to the compute environments of job queue "${queue.name}"` };
  }
  const lacking = requirements.features.filter(
    (feature) => !nodes.some(({ offer }) => offer.features.includes(feature)),
  );
  if (lacking.length > 0) {
    const engine = lacking.includes('container') ? ': a container engine has to answer on it' : '';
    return {
      code: 'no_feature',
      message: `no node of job queue "${queue.name}" offers ${lacking.join(', ')}${engine}`,
    };
  }
  if (!nodes.some((node) => couldEver(node.offer, requirements))) {
    return {
      code: 'no_node_large_enough',
      message: `MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement (vCPU/memory/GPU) is higher than that can be met by the CE(s) attached to the job queue. ${describeNeed(requirements)}; ${describeLargest(nodes, requirements)}`,
    };
  }
  const serial = core.classes.serial[cls] as number;
  const usable = nodes.filter((node) => couldEver(node.offer, requirements));
  const taking = usable.filter((node) => takesPlacements(node) && !node.rejections.has(serial));
  if (taking.length === 0) {
    const reasons = new Set(usable.map((node) => node.rejections.get(serial)?.reason ?? describeState(node)));
    const why = [...reasons].slice(0, MAX_REASONS).join('; ');
    const nodes = usable.length === 1 ? 'the one node' : `none of the ${usable.length} nodes`;
    const takes = usable.length === 1 ? 'takes no placements' : 'takes placements';
    return { code: 'no_ready_node', message: `${nodes} that could run it ${takes} now: ${why}` };
  }
  return {
    code: 'capacity',
    message: `waits for capacity: ${describeNeed(requirements)}; ${nearest(taking, requirements)}`,
  };
}

function aheadOf(core: CoreState, queue: Queue, row: number): BlockerView | undefined {
  const head = core.ready.head(core.jobs.get('class', row));
  if (head === NONE || head === row) return undefined;
  return { code: 'queue', message: `jobs that were submitted earlier to job queue "${queue.name}" come first` };
}

/** Whether a node would have room if it were empty. */
export function couldEver(offer: NodeOffer, requirements: Requirements): boolean {
  return (
    offer.takesJobs &&
    offer.milliVcpu >= requirements.milliVcpu &&
    offer.memoryBytes >= requirements.memoryBytes &&
    takesFeatures(offer, requirements) &&
    requirements.named.every(({ name, count }) => (offer.named.find((o) => o.name === name)?.count ?? 0) >= count)
  );
}

function describeNeed({ milliVcpu, memoryBytes, named, features }: Requirements): string {
  const extra = [
    ...named.map(({ name, count }) => `${count} ${name}`),
    ...features.map((feature) => `feature ${feature}`),
  ];
  return `it needs ${[`${milliVcpu / 1000} vCPU`, mebibytes(memoryBytes), ...extra].join(', ')}`;
}

/** Why a node that is large enough gets nothing. */
function describeState(node: Node): string {
  const name = Object.entries(NodeState).find(([, state]) => state === node.state)?.[0] ?? 'not ready';
  if (name === 'ready') return `node "${node.name}" has as many unanswered placements as it takes`;
  const reason = stateReason(node);
  return `node "${node.name}" is ${name}${reason === '' ? '' : ` (${reason})`}`;
}

function describeLargest(nodes: readonly Node[], { named }: Requirements): string {
  const vcpu = Math.max(...nodes.map((node) => node.offer.milliVcpu));
  const memory = Math.max(...nodes.map((node) => node.offer.memoryBytes));
  const extra = named.map(({ name }) => {
    const most = Math.max(
      ...nodes.map((node) => node.offer.named.find((offered) => offered.name === name)?.count ?? 0),
    );
    return `${most} ${name}`;
  });
  return `the most that a node offers is ${[`${vcpu / 1000} vCPU`, mebibytes(memory), ...extra].join(', ')}`;
}

function nearest(nodes: readonly Node[], requirements: Requirements): string {
  const missing = (node: Node): number =>
    Math.max(0, requirements.milliVcpu - node.freeMilliVcpu) / requirements.milliVcpu +
    Math.max(0, requirements.memoryBytes - placeableMemory(node)) / requirements.memoryBytes;
  const best = nodes.reduce((a, b) => (missing(b) < missing(a) ? b : a));
  const measured = best.measuredMemoryBytes < best.freeMemoryBytes ? ' really' : '';
  return `nearest is node "${best.name}" with ${Math.max(0, best.freeMilliVcpu) / 1000} vCPU and ${mebibytes(Math.max(0, placeableMemory(best)))}${measured} free`;
}

function mebibytes(bytes: number): string {
  return `${Math.floor(bytes / 2 ** 20)} MiB`;
}
