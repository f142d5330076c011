import { create } from '@bufbuild/protobuf';
import { RegisterJobDefinitionRequestSchema } from '@galley/proto';
import { definitionBody } from '../api/job-definition-service.ts';
import type { Refusal } from '../core/types.ts';
import type { Turns } from '../turn/turns.ts';

const ACCOUNT = 'default';
const NAME = 'default';

/** Each of the three things below takes a turn at most. */
const MAX_FIRST_TURNS = 3;

/** Whether this state is so new that its defaults may still have to be made. Later they may have been deleted on purpose. */
function isNew({ store }: Turns): boolean {
  return store.integrity.kind === 'whole' && store.position.epoch === 1 && store.position.sequence <= MAX_FIRST_TURNS;
}

/** Makes what `galley submit -- command` needs: an environment, a queue on it and an empty definition. */
export async function createDefaults(turns: Turns): Promise<void> {
  if (!isNew(turns)) return;
  const name = { account: ACCOUNT, name: NAME };
  mustExist(
    await turns.apply({
      kind: 'createEnvironment',
      ...name,
      settings: { enabled: true, placement: 'pack', tags: {} },
    }),
  );
  if (turns.view.definition(ACCOUNT, NAME, undefined) === undefined) {
    const body = definitionBody(create(RegisterJobDefinitionRequestSchema, name));
    mustExist(await turns.apply({ kind: 'registerDefinition', ...name, body }));
  }
  mustExist(
    await turns.apply({
      kind: 'createQueue',
      ...name,
      settings: { priority: 1, enabled: true, environments: [NAME], tags: {} },
    }),
  );
}

function mustExist(reply: { readonly ok: true } | Refusal): void {
  if (!reply.ok && reply.code !== 'alreadyExists') throw new Error(reply.message);
}
