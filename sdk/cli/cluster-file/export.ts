import { stringify } from 'yaml';
import { TextDocument } from '../document/document.ts';
import { readClusterFile } from './cluster-file.ts';
import { canonicalDefinition, toFileForm } from './definition-form.ts';
import { type ClusterState, environmentState, queueState } from './plan.ts';

export interface Exported {
  readonly text: string;
  /** Definitions that have what a file cannot say; then the file has none at all, so that applying it touches none. */
  readonly unsaid: readonly string[];
}

/** A cluster as a file that applies to no change. */
export function exportCluster(state: ClusterState): Exported {
  const unsaid = state.definitions.filter((definition) => !isSaid(definition)).map(({ name }) => name);
  const definitions = Object.fromEntries(state.definitions.map((each) => [each.name, toFileForm(each)]));
  const content = {
    environments: Object.fromEntries(state.environments.map((each) => [each.name, environmentState(each)])),
    ...(unsaid.length === 0 ? { definitions } : {}),
    queues: Object.fromEntries(state.queues.map((each) => [each.name, queueState(each)])),
  };
  return { text: stringify(content, { lineWidth: 0, version: '1.2', aliasDuplicateObjects: false }), unsaid };
}

/** Whether reading the file form makes the same definition again. */
function isSaid(definition: ClusterState['definitions'][number]): boolean {
  const text = stringify({ definitions: { [definition.name]: toFileForm(definition) } });
  try {
    const read = readClusterFile(new TextDocument('', text), {}).definitions?.get(definition.name);
    return read !== undefined && canonicalDefinition(read) === canonicalDefinition(definition);
  } catch {
    return false;
  }
}
