import {
  ComputeEnvironmentService,
  CreateComputeEnvironmentResponseSchema,
  GetComputeEnvironmentResponseSchema,
  ListComputeEnvironmentsResponseSchema,
  PlacementStrategy,
  UpdateComputeEnvironmentResponseSchema,
} from '@galley/proto';
import { GalleyError } from './errors.ts';
import { pages } from './pages.ts';
import { toPlain } from './plain.ts';
import { admissionState } from './queues.ts';
import type { RequestOptions, Transport } from './transport.ts';
import type { ComputeEnvironment } from './types.ts';

/** What can be said of an environment; what is absent takes the default (create) or stays as it is (update). */
export interface ComputeEnvironmentSettings {
  /** Whether its nodes take placements. Default: true. */
  readonly enabled?: boolean;
  /** Fill nodes up, or spread work over them. Default: PACK. */
  readonly placementStrategy?: 'PACK' | 'SPREAD';
}

export function environmentMethods(transport: Transport) {
  const service = transport.service(ComputeEnvironmentService);
  const { account } = transport.options;

  const fields = ({ enabled, placementStrategy }: ComputeEnvironmentSettings) => ({
    account,
    ...(enabled === undefined ? {} : { state: admissionState(enabled) }),
    ...(placementStrategy === undefined ? {} : { placementStrategy: PlacementStrategy[placementStrategy] }),
  });

  function listComputeEnvironments(options?: RequestOptions): AsyncGenerator<ComputeEnvironment> {
    return pages(async (page) => {
      const request = { account, page };
      const answer = await transport.call('safe', (call) => service.listComputeEnvironments(request, call), options);
      const { computeEnvironments, nextPageToken } = toPlain(ListComputeEnvironmentsResponseSchema, answer);
      return { items: computeEnvironments, nextPageToken };
    });
  }

  /** Throws NOT_FOUND. */
  async function getComputeEnvironment(name: string, options?: RequestOptions): Promise<ComputeEnvironment> {
    const request = { account, name };
    const answer = await transport.call('safe', (call) => service.getComputeEnvironment(request, call), options);
    return present(name, toPlain(GetComputeEnvironmentResponseSchema, answer).computeEnvironment);
  }

  /** Throws ALREADY_EXISTS. */
  async function createComputeEnvironment(
    name: string,
    settings: ComputeEnvironmentSettings = {},
    options?: RequestOptions,
  ): Promise<ComputeEnvironment> {
    const request = { name, ...fields(settings) };
    const answer = await transport.call('once', (call) => service.createComputeEnvironment(request, call), options);
    return present(name, toPlain(CreateComputeEnvironmentResponseSchema, answer).computeEnvironment);
  }

  /** With `ifVersion`: throws ABORTED when somebody else changed the environment since. */
  async function updateComputeEnvironment(
    name: string,
    settings: ComputeEnvironmentSettings & { readonly ifVersion?: number },
    options?: RequestOptions,
  ): Promise<ComputeEnvironment> {
    const request = { name, ...fields(settings), ifVersion: BigInt(settings.ifVersion ?? 0) };
    const answer = await transport.call('safe', (call) => service.updateComputeEnvironment(request, call), options);
    return present(name, toPlain(UpdateComputeEnvironmentResponseSchema, answer).computeEnvironment);
  }

  /** The environment must be disabled, with no queue that names it and no node in it. */
  async function deleteComputeEnvironment(name: string, options?: RequestOptions): Promise<void> {
    const request = { account, name };
    await transport.call('once', (call) => service.deleteComputeEnvironment(request, call), options);
  }

  return {
    listComputeEnvironments,
    getComputeEnvironment,
    createComputeEnvironment,
    updateComputeEnvironment,
    deleteComputeEnvironment,
  };
}

function present(name: string, environment: ComputeEnvironment | undefined): ComputeEnvironment {
  if (environment === undefined) throw new GalleyError('BAD_ANSWER', `no environment in the answer for ${name}`);
  return environment;
}
