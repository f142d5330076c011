import type { ArrayState } from './arrays/array-state.ts';
import { pauses } from './cluster.ts';
import { blockersOf } from './explain.ts';
import { hexJobId } from './ids.ts';
import { stateReason } from './nodes/node-state.ts';
import type { DefinitionRecord } from './records/config.ts';
import { servedBefore } from './scheduler/queueing.ts';
import { liveJob } from './snapshot.ts';
import { type CoreState, type Environment, NO_NAMED, type Node, type Queue, scoped } from './state.ts';
import { NONE } from './tables/job-table.ts';
import { isTerminal, JobState, NodeState, type Requirements } from './types.ts';
import type {
  ChildView,
  CoreView,
  DefinitionView,
  EnvironmentView,
  LiveJob,
  LiveJobFilter,
  NodeView,
  QueueView,
  StatusView,
} from './view.ts';

/** The core as others may look at it. */
export function viewOf(core: CoreState): CoreView {
  return {
    get turn() {
      return core.turn;
    },
    get wallMs() {
      return core.wallMs;
    },
    job: (id) => live(core, core.jobs.findById(id)),
    jobByNumber: (number) => live(core, core.jobs.findByNumber(number)),
    child: (number, child) => {
      const row = core.jobs.findByNumber(number);
      const array = core.arrays.get(row);
      if (array === undefined || child < 0 || child >= array.size || isTerminal(array.state(child))) return undefined;
      return liveJob(core, row, child);
    },
    children: (number, states, from, limit) => {
      const array = core.arrays.get(core.jobs.findByNumber(number));
      return array === undefined || array.over ? undefined : childrenOf(array, states, from, limit);
    },
    jobsByPrefix: (prefix, limit) => jobsByPrefix(core, prefix, limit),
    listLive: (filter, before, limit) => listLive(core, filter, before, limit),
    queue: (account, name) => {
      const queue = core.queuesByName.get(scoped(account, name));
      return queue === undefined || queue.deleting ? undefined : queueView(queue);
    },
    queues: (account) => core.queueOrder.filter((queue) => queue.account === account && !queue.deleting).map(queueView),
    environment: (account, name) => {
      const environment = core.environments.get(scoped(account, name));
      return environment === undefined ? undefined : environmentView(core, environment);
    },
    environments: (account) =>
      [...core.environments.values()].filter((e) => e.account === account).map((e) => environmentView(core, e)),
    node: (account, name) => {
      const node = core.nodes.get(scoped(account, name));
      return node === undefined ? undefined : nodeView(node);
    },
    nodes: (account) => [...core.nodes.values()].filter((node) => node.account === account).map(nodeView),
    definition: (account, name, revision) => {
      const revisions = core.definitions.get(scoped(account, name))?.revisions ?? [];
      const record = revisions.findLast((r) => (revision === undefined ? r.active : r.revision === revision));
      return record === undefined ? undefined : definitionView(record);
    },
    definitions: (account) =>
      [...core.definitions.values()]
        .filter((f) => f.account === account)
        .flatMap((f) => f.revisions.map(definitionView)),
    blockers: (id) => {
      const row = core.jobs.findById(id);
      return row === NONE ? [] : blockersOf(core, row);
    },
    dispatchOrder: (account, queue, limit) => dispatchOrder(core, account, queue, limit),
    status: () => statusView(core),
  };
}

function childrenOf(array: ArrayState, states: readonly JobState[], from: number, limit: number): ChildView[] {
  const bits = states.reduce((sum, state) => sum | (1 << state), 0);
  const found: ChildView[] = [];
  for (let child = from; child < array.size && found.length < limit; child++) {
    const state = array.state(child);
    if ((bits & (1 << state)) !== 0) found.push({ child, state });
  }
  return found;
}

function live(core: CoreState, row: number): LiveJob | undefined {
  return row === NONE || isTerminal(core.jobs.state(row)) ? undefined : liveJob(core, row);
}

function jobsByPrefix(core: CoreState, prefix: string, limit: number): LiveJob[] {
  const { jobs } = core;
  const digits = Math.min(8, prefix.length);
  const shift = 32 - 4 * digits;
  const wanted = Number.parseInt(prefix.slice(0, digits), 16);
  const found: LiveJob[] = [];
  for (const row of jobs.all()) {
    if (jobs.idWord(row) >>> shift !== wanted || isTerminal(jobs.state(row))) continue;
    if (!hexJobId(jobs.id(row)).startsWith(prefix)) continue;
    found.push(liveJob(core, row));
    if (found.length === limit) break;
  }
  return found;
}

/** One look at every row; the newest `limit` of those that match, newest first. */
function listLive(core: CoreState, filter: LiveJobFilter, before: number, limit: number): LiveJob[] {
  const { jobs } = core;
  const matches = compileFilter(core, filter);
  // Found rows are kept up to twice the limit, then cut back to the newest: no sort of everything.
  let newest: number[] = [];
  let least = 0;
  const byNumber = (a: number, b: number): number => jobs.get('number', b) - jobs.get('number', a);
  jobs.visit(stateBits(filter.states ?? LIVE_STATES), (row, number) => {
    if (number >= before || number < least || !matches(row)) return;
    newest.push(row);
    if (newest.length < limit * 2) return;
    newest = newest.sort(byNumber).slice(0, limit);
    least = jobs.get('number', newest.at(-1) as number);
  });
  return newest
    .sort(byNumber)
    .slice(0, limit)
    .map((row) => liveJob(core, row));
}

const LIVE_STATES = [JobState.submitted, JobState.pending, JobState.runnable, JobState.starting, JobState.running];

function stateBits(states: readonly JobState[]): number {
  return states.filter((state) => !isTerminal(state)).reduce((bits, state) => bits | (1 << state), 0);
}

function compileFilter(core: CoreState, filter: LiveJobFilter): (row: number) => boolean {
  const { jobs } = core;
  const queues = core.queues.map((queue) => {
    return queue?.account === filter.account && (filter.queue === undefined || queue.name === filter.queue);
  });
  const { user, definition, createdAfterMs = 0, createdBeforeMs = Number.POSITIVE_INFINITY } = filter;
  return (row) => {
    if (queues[jobs.get('queue', row)] !== true) return false;
    const createdAt = jobs.get('createdAt', row);
    if (createdAt < createdAfterMs || createdAt >= createdBeforeMs) return false;
    if (user !== undefined && core.users.get(jobs.get('user', row)) !== user) return false;
    return (
      definition === undefined || definitionMatches(core.definitionPins.get(jobs.get('definition', row)), definition)
    );
  };
}

/** `name` matches every revision, `name:revision` one. */
export function definitionMatches(pin: string, wanted: string): boolean {
  return pin === wanted || (!wanted.includes(':') && pin.startsWith(`${wanted}:`));
}

function queueView(queue: Queue): QueueView {
  const { account, name, priority, enabled, tags, version, createdAtMs } = queue;
  const liveJobs = queue.counts.slice(1, 6);
  return {
    account,
    name,
    priority,
    enabled,
    environments: queue.environmentNames,
    tags,
    version,
    createdAtMs,
    liveJobs,
  };
}

function environmentView(core: CoreState, environment: Environment): EnvironmentView {
  const { account, name, enabled, placement, tags, version, createdAtMs } = environment;
  const nodes = [...core.nodes.values()].filter((node) => node.environment === environment);
  const ready = nodes.filter((node) => node.state === NodeState.ready);
  return {
    account,
    name,
    enabled,
    placement,
    tags,
    version,
    createdAtMs,
    nodes: nodes.length,
    readyNodes: ready.length,
    capacity: sum(nodes.map((node) => ({ ...node.offer, features: [] }))),
    allocated: sum(nodes.map(allocatedOn)),
  };
}

function allocatedOn(node: Node): Requirements {
  return {
    milliVcpu: node.offer.milliVcpu - node.freeMilliVcpu,
    memoryBytes: node.offer.memoryBytes - node.freeMemoryBytes,
    named: node.offer.named.map(({ name, count }) => ({ name, count: count - (node.freeNamed.get(name) ?? 0) })),
    features: [],
  };
}

function sum(all: readonly Requirements[]): Requirements {
  const named = new Map<string, number>();
  let milliVcpu = 0;
  let memoryBytes = 0;
  for (const one of all) {
    milliVcpu += one.milliVcpu;
    memoryBytes += one.memoryBytes;
    for (const { name, count } of one.named) named.set(name, (named.get(name) ?? 0) + count);
  }
  const names = named.size === 0 ? NO_NAMED : [...named].map(([name, count]) => ({ name, count }));
  return { milliVcpu, memoryBytes, named: names, features: [] };
}

function nodeView(node: Node): NodeView {
  const { account, name, state, connected, incarnation, bootId, offer, joinedAtMs, lastSeenAtMs, orphans, version } =
    node;
  return {
    account,
    name,
    environment: node.environment.name,
    state,
    stateReason: stateReason(node),
    connected,
    incarnation,
    bootId,
    offer,
    allocated: allocatedOn(node),
    runningAttempts: node.attempts.size,
    joinedAtMs,
    lastSeenAtMs,
    orphans: [...orphans],
    version,
  };
}

function definitionView(record: DefinitionRecord): DefinitionView {
  return { ...record, body: Buffer.from(record.body, 'base64') };
}

function dispatchOrder(core: CoreState, account: string, name: string, limit: number): number[] {
  const queue = core.queuesByName.get(scoped(account, name));
  if (queue === undefined) return [];
  const classes = [...queue.heap.values(), ...queue.parked].sort((a, b) => (servedBefore(core, a, b) ? -1 : 1));
  const heads = classes.slice(0, limit).flatMap((cls) => {
    const rows: number[] = [];
    for (const row of core.ready.inOrder(cls)) {
      rows.push(row);
      if (rows.length === limit) break;
    }
    return rows;
  });
  const priority = (row: number): number => core.classes.priority[core.jobs.get('class', row)] as number;
  const number = (row: number): number => core.jobs.get('number', row);
  return heads
    .sort((a, b) => priority(b) - priority(a) || number(a) - number(b))
    .slice(0, limit)
    .map(number);
}

function statusView(core: CoreState): StatusView {
  const nodes = [...core.nodes.values()];
  const ready = nodes.filter((node) => node.state === NodeState.ready);
  return {
    position: core.position,
    pauses: pauses(core),
    awaitedNodes: [...core.awaitedNodes].map((key) => key.slice(key.indexOf('/') + 1)),
    liveJobs: core.counts.slice(1, 6),
    endedJobs: core.cluster.endedJobs,
    nodes: nodes.length,
    readyNodes: ready.length,
    capacity: sum(ready.map((node) => ({ ...node.offer, features: [] }))),
    allocated: sum(nodes.map(allocatedOn)),
    adoptedAttempts: core.cluster.adoptedAttempts,
  };
}
