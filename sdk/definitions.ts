import { randomUUID } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import {
  DeregisterJobDefinitionResponseSchema,
  GetJobDefinitionResponseSchema,
  JobDefinitionService,
  ListJobDefinitionsResponseSchema,
  type RegisterJobDefinitionRequest,
  RegisterJobDefinitionRequestSchema,
  RegisterJobDefinitionResponseSchema,
} from '@galley/proto';
import { GalleyError } from './errors.ts';
import { pages } from './pages.ts';
import { toPlain } from './plain.ts';
import { int64, type RetryRequest, type TaskRequest, toRetryStrategy, toTaskSpec } from './submit-request.ts';
import type { RequestOptions, Transport } from './transport.ts';
import type { JobDefinition } from './types.ts';

/** A template of jobs. */
export interface JobDefinitionRequest extends TaskRequest, RetryRequest {
  readonly name: string;
  /** Defaults of the parameters that `Ref::name` elements of the command take. */
  readonly parameters?: Readonly<Record<string, string>>;
  readonly timeoutSeconds?: number;
  readonly tags?: Readonly<Record<string, string>>;
  /** Makes a repeated call harmless. Default: a new one per call. */
  readonly requestId?: string;
}

export function definitionMethods(transport: Transport) {
  const service = transport.service(JobDefinitionService);
  const { account } = transport.options;

  /** Makes the next revision of the name. */
  async function registerJobDefinition(definition: JobDefinitionRequest, options?: RequestOptions) {
    const request = toDefinitionRequest(definition, account);
    const answer = await transport.call('safe', (call) => service.registerJobDefinition(request, call), options);
    return present(definition.name, toPlain(RegisterJobDefinitionResponseSchema, answer).jobDefinition);
  }

  /** `name:revision` takes no new jobs any more. */
  async function deregisterJobDefinition(jobDefinition: string, options?: RequestOptions): Promise<JobDefinition> {
    const request = { account, jobDefinition };
    const answer = await transport.call('safe', (call) => service.deregisterJobDefinition(request, call), options);
    return present(jobDefinition, toPlain(DeregisterJobDefinitionResponseSchema, answer).jobDefinition);
  }

  /** `name` (newest active revision) or `name:revision`. Throws NOT_FOUND. */
  async function getJobDefinition(jobDefinition: string, options?: RequestOptions): Promise<JobDefinition> {
    const request = { account, jobDefinition };
    const answer = await transport.call('safe', (call) => service.getJobDefinition(request, call), options);
    return present(jobDefinition, toPlain(GetJobDefinitionResponseSchema, answer).jobDefinition);
  }

  /** By name, then newest revision first. */
  function listJobDefinitions(
    filter: { readonly name?: string; readonly includeInactive?: boolean } = {},
    options?: RequestOptions,
  ): AsyncGenerator<JobDefinition> {
    const { name = '', includeInactive = false } = filter;
    return pages(async (page) => {
      const request = { account, page, name, includeInactive };
      const answer = await transport.call('safe', (call) => service.listJobDefinitions(request, call), options);
      const { jobDefinitions, nextPageToken } = toPlain(ListJobDefinitionsResponseSchema, answer);
      return { items: jobDefinitions, nextPageToken };
    });
  }

  return { registerJobDefinition, deregisterJobDefinition, getJobDefinition, listJobDefinitions };
}

/** The request on the wire, with an id of its own. */
export function toDefinitionRequest(definition: JobDefinitionRequest, account: string): RegisterJobDefinitionRequest {
  const { name, timeoutSeconds } = definition;
  return create(RegisterJobDefinitionRequestSchema, {
    account,
    name,
    task: toTaskSpec(definition),
    parameters: { ...definition.parameters },
    ...toRetryStrategy(definition),
    ...(timeoutSeconds === undefined
      ? {}
      : { timeout: { attemptDurationSeconds: int64('timeoutSeconds', timeoutSeconds) } }),
    tags: { ...definition.tags },
    requestId: definition.requestId ?? randomUUID(),
  });
}

function present(name: string, definition: JobDefinition | undefined): JobDefinition {
  if (definition === undefined) throw new GalleyError('BAD_ANSWER', `no job definition in the answer for ${name}`);
  return definition;
}
