import { MAX_DEFINITION_NAMES, MAX_DEFINITION_REVISIONS } from '../limits.ts';
import { type DefinitionRecord, encodeRecord } from '../records/config.ts';
import { definitionKey } from '../records/keys.ts';
import { type CoreState, type DefinitionFamily, put, scoped } from '../state.ts';
import type { DeregisterDefinition, Done, Refusal, RegisterDefinition, Replies } from '../types.ts';

/** A name's first registration is revision 1; each later one is the next, also after deregistration. */
export function registerDefinition(core: CoreState, input: RegisterDefinition): Replies['registerDefinition'] {
  const { account, name, body } = input;
  const family = core.definitions.get(scoped(account, name));
  if (family === undefined && core.definitions.size >= MAX_DEFINITION_NAMES) {
    return exhausted(`there are ${MAX_DEFINITION_NAMES} job definition names, which is the most`);
  }
  const revision = (family?.revisions.at(-1)?.revision ?? 0) + 1;
  if (revision > MAX_DEFINITION_REVISIONS) {
    return exhausted(`job definition "${name}" has ${MAX_DEFINITION_REVISIONS} revisions, which is the most`);
  }
  const record: DefinitionRecord = {
    account,
    name,
    revision,
    active: true,
    createdAtMs: core.wallMs,
    deregisteredAtMs: 0,
    body: Buffer.from(body).toString('base64'),
  };
  addRevision(core, record);
  put(core, definitionKey(account, name, revision), encodeRecord(record));
  return { ok: true, revision };
}

/** No new jobs of this revision; those that were submitted go on. Saying it twice is harmless. */
export function deregisterDefinition(core: CoreState, input: DeregisterDefinition): Done | Refusal {
  const { account, name, revision } = input;
  const family = core.definitions.get(scoped(account, name));
  const at = family?.revisions.findIndex((record) => record.revision === revision) ?? -1;
  const record = family?.revisions[at];
  if (family === undefined || record === undefined) {
    const message = `job definition "${name}:${revision}" does not exist`;
    return { ok: false, code: 'notFound', field: 'job_definition', message };
  }
  if (!record.active) return { ok: true };
  const inactive: DefinitionRecord = { ...record, active: false, deregisteredAtMs: core.wallMs };
  family.revisions[at] = inactive;
  put(core, definitionKey(account, name, revision), encodeRecord(inactive));
  return { ok: true };
}

function exhausted(message: string): Refusal {
  return { ok: false, code: 'exhausted', field: 'name', message };
}

/** Adds a revision behind those that are known, here or at load. */
export function addRevision(core: CoreState, record: DefinitionRecord): void {
  const key = scoped(record.account, record.name);
  const family: DefinitionFamily = core.definitions.get(key) ?? {
    account: record.account,
    name: record.name,
    revisions: [],
  };
  family.revisions.push(record);
  core.definitions.set(key, family);
}
