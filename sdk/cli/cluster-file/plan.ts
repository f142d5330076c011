import type { GalleyClient } from '../../client.ts';
import { countIn } from '../../state-counts.ts';
import type { ComputeEnvironment, JobDefinition, JobQueue } from '../../types.ts';
import { count } from '../format.ts';
import { collect } from '../output.ts';
import type { ClusterFile, DefinitionState, EnvironmentState, QueueState } from './cluster-file.ts';
import { canonicalDefinition } from './definition-form.ts';

/** What is there. */
export interface ClusterState {
  readonly environments: readonly ComputeEnvironment[];
  /** The newest active revision of each name. */
  readonly definitions: readonly JobDefinition[];
  readonly queues: readonly JobQueue[];
}

/** One step from what is there to what the file says. */
export interface Change {
  readonly action: 'create' | 'update' | 'delete';
  readonly kind: 'environment' | 'definition' | 'queue';
  readonly name: string;
  /** What becomes different: `priority 1 -> 5`. */
  readonly details: string;
  /** Does it, and answers how to undo it; a deletion is not undone. */
  apply(client: GalleyClient): Promise<(() => Promise<unknown>) | undefined>;
}

export async function readState(client: GalleyClient): Promise<ClusterState> {
  const environments = await collect(client.listComputeEnvironments());
  const queues = await collect(client.listJobQueues());
  // Newest revision first.
  const newest = new Map<string, JobDefinition>();
  for await (const definition of client.listJobDefinitions()) {
    if (!newest.has(definition.name)) newest.set(definition.name, definition);
  }
  return { environments, definitions: [...newest.values()], queues };
}

/**
 * What is to be done, in an order in which each step finds what it needs: environments, definitions, queues, and what is
 * pruned in the end, the other way round.
 */
export function planChanges(file: ClusterFile, state: ClusterState, prune: boolean): Change[] {
  const environments = byName(state.environments);
  const definitions = byName(state.definitions);
  const queues = byName(state.queues);
  const changes = [
    ...[...(file.environments ?? [])].flatMap(([name, to]) => environmentChange(name, environments.get(name), to)),
    ...[...(file.definitions ?? [])].flatMap(([name, to]) => definitionChange(name, definitions.get(name), to)),
    ...[...(file.queues ?? [])].flatMap(([name, to]) => queueChange(name, queues.get(name), to)),
  ];
  if (!prune) return changes;
  return [
    ...changes,
    ...state.queues.filter(({ name }) => isPruned(file.queues, name)).map(queueDeletion),
    ...state.environments.filter(({ name }) => isPruned(file.environments, name)).map(environmentDeletion),
    ...state.definitions.filter(({ name }) => isPruned(file.definitions, name)).map(definitionDeletion),
  ];
}

/** What the control plane would refuse in the middle, as far as it can be seen before: a sentence each. */
export function foreseeRefusals(file: ClusterFile, state: ClusterState, prune: boolean): string[] {
  const goes = (name: string) => prune && isPruned(file.environments, name);
  const stands = new Set([
    ...state.environments.map(({ name }) => name).filter((name) => !goes(name)),
    ...(file.environments?.keys() ?? []),
  ]);
  const said = [...(file.queues ?? [])].map(([name, { environments }]) => ({ name, environments }));
  const kept = state.queues
    .filter(({ name }) => file.queues?.has(name) !== true && !(prune && isPruned(file.queues, name)))
    .map(({ name, computeEnvironments }) => ({ name, environments: computeEnvironments }));
  return [
    ...[...said, ...kept].flatMap(({ name, environments }) =>
      environments
        .filter((environment) => !stands.has(environment))
        .map((environment) => `queue ${name}: there would be no environment "${environment}"`),
    ),
    ...state.environments
      .filter(({ name, nodes }) => goes(name) && nodes > 0)
      .map(({ name, nodes }) => `environment ${name} cannot be deleted: ${count(nodes, 'node')} belong to it`),
  ];
}

function isPruned(section: ReadonlyMap<string, unknown> | undefined, name: string): boolean {
  return section !== undefined && !section.has(name);
}

function byName<T extends { readonly name: string }>(items: readonly T[]): Map<string, T> {
  return new Map(items.map((item) => [item.name, item]));
}

export function environmentState({ state, placementStrategy }: ComputeEnvironment): EnvironmentState {
  return { strategy: placementStrategy === 'SPREAD' ? 'spread' : 'pack', enabled: state !== 'DISABLED' };
}

export function queueState({ state, priority, computeEnvironments }: JobQueue): QueueState {
  return { priority, environments: computeEnvironments, enabled: state !== 'DISABLED' };
}

function environmentChange(name: string, found: ComputeEnvironment | undefined, to: EnvironmentState): Change[] {
  const kind = 'environment';
  const from = found && environmentState(found);
  const details = difference(from, to);
  if (from !== undefined && details === '') return [];
  const settings = ({ strategy, enabled }: EnvironmentState) =>
    ({ enabled, placementStrategy: strategy === 'spread' ? 'SPREAD' : 'PACK' }) as const;
  if (found === undefined || from === undefined) {
    return [
      {
        ...{ action: 'create', kind, name, details },
        apply: async (client) => {
          await client.createComputeEnvironment(name, settings(to));
          return () => deleteEnvironment(client, name);
        },
      },
    ];
  }
  return [
    {
      ...{ action: 'update', kind, name, details },
      apply: async (client) => {
        const { version } = await client.updateComputeEnvironment(name, { ...settings(to), ifVersion: found.version });
        return () => client.updateComputeEnvironment(name, { ...settings(from), ifVersion: version });
      },
    },
  ];
}

function queueChange(name: string, found: JobQueue | undefined, to: QueueState): Change[] {
  const kind = 'queue';
  const from = found && queueState(found);
  const details = difference(from, to);
  if (from !== undefined && details === '') return [];
  const settings = ({ priority, enabled, environments }: QueueState) =>
    ({ priority, enabled, computeEnvironments: environments }) as const;
  if (found === undefined || from === undefined) {
    return [
      {
        ...{ action: 'create', kind, name, details },
        apply: async (client) => {
          await client.createJobQueue(name, settings(to));
          return () => deleteQueue(client, name);
        },
      },
    ];
  }
  return [
    {
      ...{ action: 'update', kind, name, details },
      apply: async (client) => {
        const { version } = await client.updateJobQueue(name, { ...settings(to), ifVersion: found.version });
        return () => client.updateJobQueue(name, { ...settings(from), ifVersion: version });
      },
    },
  ];
}

/** A definition is never changed: a new revision stands beside the old ones. */
function definitionChange(name: string, found: JobDefinition | undefined, to: DefinitionState): Change[] {
  if (found !== undefined && canonicalDefinition(found) === canonicalDefinition(to)) return [];
  return [
    {
      action: found === undefined ? 'create' : 'update',
      kind: 'definition',
      name,
      details: found === undefined ? '' : `a revision after ${found.revision}`,
      apply: async (client) => {
        const { revision } = await client.registerJobDefinition({ ...to, name });
        return () => client.deregisterJobDefinition(`${name}:${revision}`);
      },
    },
  ];
}

function queueDeletion({ name, liveJobs }: JobQueue): Change {
  const jobs = countIn(liveJobs);
  const details = jobs === 0 ? '' : `${count(jobs, 'job')} in it, which would end with it`;
  return { action: 'delete', kind: 'queue', name, details, apply: (client) => deleteQueue(client, name) };
}

function environmentDeletion({ name }: ComputeEnvironment): Change {
  return {
    ...{ action: 'delete', kind: 'environment', name, details: '' },
    apply: (client) => deleteEnvironment(client, name),
  };
}

function definitionDeletion({ name }: JobDefinition): Change {
  return {
    ...{ action: 'delete', kind: 'definition', name, details: 'every active revision is deregistered' },
    apply: async (client) => {
      const revisions = await collect(client.listJobDefinitions({ name }));
      for (const { revision } of revisions) await client.deregisterJobDefinition(`${name}:${revision}`);
      return undefined;
    },
  };
}

/** Only what is disabled can be deleted; what then cannot be deleted is as it was. */
async function deleteQueue(client: GalleyClient, name: string): Promise<undefined> {
  const { state } = await client.getJobQueue(name);
  await client.updateJobQueue(name, { enabled: false });
  try {
    await client.deleteJobQueue(name);
  } catch (error) {
    if (state !== 'DISABLED') await client.updateJobQueue(name, { enabled: true });
    throw error;
  }
}

async function deleteEnvironment(client: GalleyClient, name: string): Promise<undefined> {
  const { state } = await client.getComputeEnvironment(name);
  await client.updateComputeEnvironment(name, { enabled: false });
  try {
    await client.deleteComputeEnvironment(name);
  } catch (error) {
    if (state !== 'DISABLED') await client.updateComputeEnvironment(name, { enabled: true });
    throw error;
  }
}

/** `priority 1 -> 5, enabled`: what is different, or all of it where nothing was before. */
function difference<T extends object>(from: T | undefined, to: T): string {
  return Object.entries(to)
    .flatMap(([key, value]) => {
      const [before, after] = [from && shown(from[key as keyof T]), shown(value)];
      if (before === after) return [];
      return [before === undefined ? `${key} ${after}` : `${key} ${before} -> ${after}`];
    })
    .join(', ');
}

function shown(value: unknown): string {
  return Array.isArray(value) ? `[${value.join(', ')}]` : String(value);
}
