import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  type JobDefinition,
  JobDefinitionSchema,
  type JobDefinitionService,
  type RegisterJobDefinitionRequest,
} from '@galley/proto';
import type { DefinitionView } from '../core/view.ts';
import type { Handlers } from '../server/handler.ts';
import type { Turns } from '../turn/turns.ts';
import { accountOf } from './accounts.ts';
import { digestOf } from './canonical.ts';
import { parseDefinitionRef } from './definitions.ts';
import { ApiError, accepted, invalid, notBuilt, notFound } from './errors.ts';
import type { ApiParts } from './parts.ts';
import { RequestMemory } from './request-memory.ts';
import { pageOfNames } from './tokens.ts';
import { unbuiltTemplateField } from './unbuilt.ts';
import { validateTags, validateTask } from './validate.ts';

/** The longest encoding of a definition, in bytes. */
export const MAX_DEFINITION_BYTES = 24 * 1024;

/** Above every revision. */
const REVISION_BOUND = 10 ** 9;

/** Templates of jobs. */
export function createJobDefinitionService({ turns }: Pick<ApiParts, 'turns'>): Handlers<typeof JobDefinitionService> {
  const memory = new RequestMemory<number>();
  return {
    registerJobDefinition: async (request) => {
      const account = accountOf(request);
      const body = definitionBody(request);
      const revision = await memory.once(request.requestId, digestOf(body), {
        act: async () => {
          const input = { kind: 'registerDefinition', account, name: request.name, body } as const;
          return accepted(await turns.apply(input)).revision;
        },
        // The revision that a call of unknown outcome made, if it did.
        find: async () => {
          const newest = await turns.read((view) => view.definition(account, request.name, undefined));
          return newest !== undefined && Buffer.compare(newest.body, body) === 0 ? newest.revision : undefined;
        },
      });
      return { jobDefinition: await readDefinition(turns, account, request.name, revision) };
    },

    deregisterJobDefinition: async (request) => {
      const account = accountOf(request);
      const { name, revision } = parseDefinitionRef(request.jobDefinition);
      if (revision === undefined) {
        throw invalid('job_definition', `must be name:revision, got "${request.jobDefinition}"`);
      }
      accepted(await turns.apply({ kind: 'deregisterDefinition', account, name, revision }));
      return { jobDefinition: await readDefinition(turns, account, name, revision) };
    },

    getJobDefinition: async (request) => {
      const { name, revision } = parseDefinitionRef(request.jobDefinition);
      return { jobDefinition: await readDefinition(turns, accountOf(request), name, revision) };
    },

    listJobDefinitions: async (request) => {
      const account = accountOf(request);
      const all = await turns.read((view) => view.definitions(account));
      const shown = all.filter(
        (view) => (request.includeInactive || view.active) && (request.name === '' || view.name === request.name),
      );
      const { items, nextPageToken } = pageOfNames(
        'job_definitions',
        request,
        shown,
        newestFirst,
        ({ body }) => body.length,
      );
      return { jobDefinitions: items.map(toDefinition), nextPageToken };
    },
  };
}

/** By name, then newest revision first. A space comes before every character of a name. */
function newestFirst({ name, revision }: DefinitionView): string {
  return `${name} ${`${REVISION_BOUND - revision}`.padStart(10, '0')}`;
}

/** What the core keeps of a registration; throws what is wrong with it. */
export function definitionBody(request: RegisterJobDefinitionRequest): Uint8Array {
  const unbuilt = request.consumableResources.length > 0 ? 'consumable_resources' : unbuiltTemplateField(request);
  if (unbuilt !== undefined) throw notBuilt(unbuilt);
  if (request.task !== undefined) validateTask(request.task);
  validateTags(request.tags);
  const { task, retryStrategy, timeout, schedulingPriority } = request;
  const definition = create(JobDefinitionSchema, {
    parameters: request.parameters,
    propagateTags: request.propagateTags,
    tags: request.tags,
    ...(task === undefined ? {} : { task }),
    ...(retryStrategy === undefined ? {} : { retryStrategy }),
    ...(timeout === undefined ? {} : { timeout }),
    ...(schedulingPriority === undefined ? {} : { schedulingPriority }),
  });
  const body = toBinary(JobDefinitionSchema, definition);
  if (body.length > MAX_DEFINITION_BYTES) {
    throw invalid('task', `a definition has at most ${MAX_DEFINITION_BYTES} bytes encoded, got ${body.length}`);
  }
  return body;
}

async function readDefinition(
  turns: Turns,
  account: string,
  name: string,
  revision: number | undefined,
): Promise<JobDefinition> {
  const found = await turns.read((view) => view.definition(account, name, revision));
  if (found !== undefined) return toDefinition(found);
  if (revision !== undefined) throw notFound('job_definition', `job definition "${name}:${revision}"`);
  const description = `job definition "${name}" does not exist, or has no active revision`;
  throw new ApiError('NOT_FOUND', description, { violations: [{ field: 'job_definition', description }] });
}

function toDefinition(view: DefinitionView): JobDefinition {
  const message = fromBinary(JobDefinitionSchema, view.body);
  message.account = view.account;
  message.name = view.name;
  message.revision = view.revision;
  message.active = view.active;
  message.createdAtMs = BigInt(view.createdAtMs);
  message.deregisteredAtMs = BigInt(view.deregisteredAtMs);
  return message;
}
