import { MAX_ENVIRONMENTS } from '../limits.ts';
import { updateNodeState } from '../nodes/node-state.ts';
import { type EnvironmentRecord, encodeRecord } from '../records/config.ts';
import { environmentKey } from '../records/keys.ts';
import { CapacityIndex } from '../scheduler/capacity-index.ts';
import { type CoreState, type Environment, put, remove, scoped } from '../state.ts';
import type { CreateEnvironment, DeleteEnvironment, Done, Refusal, UpdateEnvironment } from '../types.ts';

const DONE: Done = { ok: true };

export function createEnvironment(core: CoreState, { account, name, settings }: CreateEnvironment): Done | Refusal {
  if (core.environments.has(scoped(account, name))) {
    return { ok: false, code: 'alreadyExists', field: 'name', message: `compute environment "${name}" already exists` };
  }
  if (core.environments.size >= MAX_ENVIRONMENTS) {
    const message = `there are ${MAX_ENVIRONMENTS} compute environments, which is the most`;
    return { ok: false, code: 'exhausted', field: 'name', message };
  }
  writeEnvironment(core, addEnvironment(core, { account, name, ...settings, version: 1, createdAtMs: core.wallMs }));
  return DONE;
}

export function updateEnvironment(core: CoreState, input: UpdateEnvironment): Done | Refusal {
  const { account, name, settings, ifVersion } = input;
  const environment = core.environments.get(scoped(account, name));
  if (environment === undefined) return unknown(name);
  if (ifVersion !== 0 && ifVersion !== environment.version) {
    const message = `compute environment "${name}" has version ${environment.version}, not ${ifVersion}`;
    return { ok: false, code: 'aborted', field: 'if_version', message };
  }
  environment.enabled = settings.enabled ?? environment.enabled;
  environment.placement = settings.placement ?? environment.placement;
  environment.tags = settings.tags ?? environment.tags;
  environment.version += 1;
  for (const node of core.nodes.values()) {
    if (node.environment === environment) updateNodeState(core, node, 'its compute environment changed');
  }
  writeEnvironment(core, environment);
  return DONE;
}

export function deleteEnvironment(core: CoreState, { account, name }: DeleteEnvironment): Done | Refusal {
  const environment = core.environments.get(scoped(account, name));
  if (environment === undefined) return unknown(name);
  const blocked = whyNotDeletable(core, environment);
  if (blocked !== undefined) return { ok: false, code: 'failedPrecondition', field: 'name', message: blocked };
  core.environments.delete(scoped(account, name));
  remove(core, environmentKey(account, name));
  return DONE;
}

function whyNotDeletable(core: CoreState, environment: Environment): string | undefined {
  const { name, account } = environment;
  if (environment.enabled) return `compute environment "${name}" is enabled; disable it before deleting it`;
  for (const queue of core.queuesByName.values()) {
    if (queue.environments.includes(environment)) {
      return `Cannot delete, found existing JobQueue relationship: job queue "${queue.name}" names compute environment "${name}"`;
    }
  }
  const nodes = [...core.nodes.values()].filter((node) => node.account === account && node.environment === environment);
  return nodes.length === 0
    ? undefined
    : `${nodes.length} nodes belong to compute environment "${name}"; delete them first`;
}

function unknown(name: string): Refusal {
  return { ok: false, code: 'notFound', field: 'name', message: `compute environment "${name}" does not exist` };
}

/** Makes an environment, here or at load. */
export function addEnvironment(core: CoreState, record: EnvironmentRecord): Environment {
  const environment: Environment = {
    account: record.account,
    name: record.name,
    createdAtMs: record.createdAtMs,
    enabled: record.enabled,
    placement: record.placement,
    tags: record.tags,
    version: record.version,
    index: new CapacityIndex(),
    nodesBySlot: [],
    cursor: 0,
    freed: true,
  };
  core.environments.set(scoped(record.account, record.name), environment);
  return environment;
}

function writeEnvironment(core: CoreState, environment: Environment): void {
  const { account, name, enabled, placement, tags, version, createdAtMs } = environment;
  const record: EnvironmentRecord = { account, name, enabled, placement, tags, version, createdAtMs };
  put(core, environmentKey(account, name), encodeRecord(record));
}
