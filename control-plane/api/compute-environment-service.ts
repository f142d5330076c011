import { create } from '@bufbuild/protobuf';
import {
  type ComputeEnvironment,
  ComputeEnvironmentSchema,
  type ComputeEnvironmentService,
  ComputeEnvironmentType,
  PlacementStrategy,
} from '@galley/proto';
import type { EnvironmentSettings } from '../core/types.ts';
import type { EnvironmentView } from '../core/view.ts';
import type { Handlers } from '../server/handler.ts';
import type { Turns } from '../turn/turns.ts';
import { accountOf } from './accounts.ts';
import { admissionOf, enabledOf, missing } from './admission.ts';
import { accepted, notBuilt } from './errors.ts';
import { toResourcesOf } from './job-messages.ts';
import type { ApiParts } from './parts.ts';
import { pageOfNames } from './tokens.ts';
import { validateTags } from './validate.ts';

/** Sets of nodes. */
export function createComputeEnvironmentService({
  turns,
}: Pick<ApiParts, 'turns'>): Handlers<typeof ComputeEnvironmentService> {
  return {
    createComputeEnvironment: async (request) => {
      if (request.type === ComputeEnvironmentType.MANAGED) throw notBuilt('type MANAGED');
      refuseScaling(request);
      validateTags(request.tags);
      const account = accountOf(request);
      const { name, tags } = request;
      accepted(
        await turns.apply({
          kind: 'createEnvironment',
          account,
          name,
          settings: {
            enabled: enabledOf(request.state) ?? true,
            placement: placementOf(request.placementStrategy) ?? 'pack',
            tags,
          },
        }),
      );
      return { computeEnvironment: await readEnvironment(turns, account, name) };
    },

    updateComputeEnvironment: async (request) => {
      refuseScaling(request);
      const account = accountOf(request);
      const enabled = enabledOf(request.state);
      const placement = placementOf(request.placementStrategy);
      accepted(
        await turns.apply({
          kind: 'updateEnvironment',
          account,
          name: request.name,
          settings: {
            ...(enabled === undefined ? {} : { enabled }),
            ...(placement === undefined ? {} : { placement }),
          },
          ifVersion: Number(request.ifVersion),
        }),
      );
      return { computeEnvironment: await readEnvironment(turns, account, request.name) };
    },

    deleteComputeEnvironment: async (request) => {
      const input = { kind: 'deleteEnvironment', account: accountOf(request), name: request.name } as const;
      accepted(await turns.apply(input));
      return {};
    },

    getComputeEnvironment: async (request) => ({
      computeEnvironment: await readEnvironment(turns, accountOf(request), request.name),
    }),

    listComputeEnvironments: async (request) => {
      const all = await turns.read((view) => view.environments(accountOf(request)));
      const { items, nextPageToken } = pageOfNames('compute_environments', request, all, ({ name }) => name);
      return { computeEnvironments: items.map(toEnvironment), nextPageToken };
    },
  };
}

function refuseScaling(request: { minMilliVcpu?: bigint | undefined; maxMilliVcpu?: bigint | undefined }): void {
  if ((request.minMilliVcpu ?? 0n) !== 0n) throw notBuilt('min_milli_vcpu');
  if ((request.maxMilliVcpu ?? 0n) !== 0n) throw notBuilt('max_milli_vcpu');
}

function placementOf(strategy: PlacementStrategy): EnvironmentSettings['placement'] | undefined {
  switch (strategy) {
    case PlacementStrategy.PACK:
      return 'pack';
    case PlacementStrategy.SPREAD:
      return 'spread';
    default:
      return undefined;
  }
}

async function readEnvironment(turns: Turns, account: string, name: string): Promise<ComputeEnvironment> {
  const found = await turns.read((view) => view.environment(account, name));
  if (found === undefined) throw missing('compute environment', name);
  return toEnvironment(found);
}

function toEnvironment(view: EnvironmentView): ComputeEnvironment {
  const message = create(ComputeEnvironmentSchema, {
    account: view.account,
    name: view.name,
    type: ComputeEnvironmentType.UNMANAGED,
    state: admissionOf(view.enabled),
    placementStrategy: view.placement === 'spread' ? PlacementStrategy.SPREAD : PlacementStrategy.PACK,
    tags: { ...view.tags },
    version: BigInt(view.version),
    createdAtMs: BigInt(view.createdAtMs),
    nodes: view.nodes,
    readyNodes: view.readyNodes,
  });
  message.capacity = toResourcesOf(view.capacity);
  message.allocated = toResourcesOf(view.allocated);
  return message;
}
