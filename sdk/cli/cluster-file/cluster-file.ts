import type { JobDefinitionRequest } from '../../definitions.ts';
import type { TextDocument, Value } from '../document/document.ts';
import { readSaid, taskFields } from '../job-file/fields.ts';
import { toTaskRequest } from '../job-options.ts';

/** What a cluster is to have, with every setting: what a file leaves out has its default. */
export interface EnvironmentState {
  readonly enabled: boolean;
  readonly strategy: 'pack' | 'spread';
}

export interface QueueState {
  readonly enabled: boolean;
  readonly priority: number;
  readonly environments: readonly string[];
}

export type DefinitionState = Omit<JobDefinitionRequest, 'name' | 'requestId'>;

/** A section that the file does not have is undefined: nothing of its kind is touched. */
export interface ClusterFile {
  readonly environments: ReadonlyMap<string, EnvironmentState> | undefined;
  readonly definitions: ReadonlyMap<string, DefinitionState> | undefined;
  readonly queues: ReadonlyMap<string, QueueState> | undefined;
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$/;
const MAX_PRIORITY = 1_000_000;
const MAX_QUEUE_ENVIRONMENTS = 64;

/**
 * Reads a cluster's file:
 *
 * ```yaml
 * environments:
 *   gpu: {strategy: spread, enabled: true}         # defaults: pack, true
 * definitions:
 *   bake: {command: [bake, --all], memory: 1g}     # as jobs of a file of jobs
 * queues:
 *   night: {priority: 5, environments: [gpu], enabled: true}   # defaults: 0, [default], true
 * ```
 *
 * Throws a CliError that names every mistake.
 */
export function readClusterFile(document: TextDocument, env: NodeJS.ProcessEnv): ClusterFile {
  const top = document.root.object(['environments', 'definitions', 'queues'], 'a cluster file');
  const fields = taskFields(env);
  const file: ClusterFile = {
    environments: section(top?.environments, readEnvironment),
    definitions: section(top?.definitions, (value) => {
      const { options, command } = readSaid(value.isEmpty ? undefined : value, fields, [], 'a definition');
      return toTaskRequest(options, command ?? []);
    }),
    queues: section(top?.queues, readQueue),
  };
  document.throwMistakes();
  return file;
}

function section<T>(value: Value | undefined, read: (value: Value) => T): Map<string, T> | undefined {
  if (value === undefined) return undefined;
  const found = new Map<string, T>();
  for (const [name, item] of value.isEmpty ? [] : (value.entries('must be a mapping of names') ?? [])) {
    if (!NAME.test(name)) {
      item.complain(
        `a name must be 1 to 128 letters, digits, - and _, beginning with a letter or digit, got "${name}"`,
      );
    }
    found.set(name, read(item));
  }
  return found;
}

function readEnvironment(value: Value): EnvironmentState {
  const said = value.isEmpty ? {} : value.object(['strategy', 'enabled'], 'an environment');
  return {
    strategy: said?.strategy?.choice(['pack', 'spread']) ?? 'pack',
    enabled: said?.enabled?.flag() ?? true,
  };
}

function readQueue(value: Value): QueueState {
  const said = value.isEmpty ? {} : value.object(['priority', 'enabled', 'environments'], 'a queue');
  const environments = said?.environments?.texts('must be a list of names of environments');
  if (environments !== undefined && (environments.length === 0 || environments.length > MAX_QUEUE_ENVIRONMENTS)) {
    said?.environments?.complain(`must have 1 to ${MAX_QUEUE_ENVIRONMENTS} environments, got ${environments.length}`);
  }
  return {
    priority: said?.priority?.integer(0, MAX_PRIORITY) ?? 0,
    enabled: said?.enabled?.flag() ?? true,
    environments: environments ?? ['default'],
  };
}
