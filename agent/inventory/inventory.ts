import { create } from '@bufbuild/protobuf';
import {
  type Inventory,
  InventorySchema,
  LimitState,
  NamedResourceSchema,
  ResourceLimitSchema,
  ResourcesSchema,
} from '@galley/proto';
import { ENFORCED, type LimitReport } from '../cgroup/cgroup.ts';
import { boundsEverything } from '../cgroup/open.ts';
import type { RuntimeDescription } from '../runtimes/runtime.ts';
import type { Host } from './host.ts';
import { allocatable, type Reserve } from './reserve.ts';

/** The version that `Inventory.agent_version` names. */
export const AGENT_VERSION = '0.1.0';

export interface InventoryParts {
  readonly host: Host;
  readonly runtime: RuntimeDescription;
  readonly reserve: Reserve;
  readonly labels: Readonly<Record<string, string>>;
  /** Countable things that this node offers, by name. */
  readonly named: Readonly<Record<string, number>>;
  readonly allowUnlimited: boolean;
  /** What it can do now. */
  readonly features: readonly string[];
  /** What an operator should know that came up while the agent ran. */
  readonly warnings: readonly string[];
}

export function buildInventory(parts: InventoryParts): Inventory {
  const { host, runtime } = parts;
  const offered = allocatable(host, parts.reserve);
  return create(InventorySchema, {
    hostname: host.hostname,
    operatingSystem: host.operatingSystem,
    kernel: host.kernel,
    architecture: host.architecture,
    cpuModel: host.cpuModel,
    cores: host.cores,
    memoryBytes: BigInt(host.memoryBytes),
    swapBytes: BigInt(host.swapBytes),
    allocatable: create(ResourcesSchema, {
      milliVcpu: BigInt(offered.milliVcpu),
      memoryBytes: BigInt(offered.memoryBytes),
      named: Object.entries(parts.named).map(([name, count]) =>
        create(NamedResourceSchema, { name, count: BigInt(count) }),
      ),
    }),
    limits: Object.entries(runtime.limits).map(([resource, detail]: [string, string]) =>
      create(ResourceLimitSchema, {
        resource,
        state: detail === ENFORCED ? LimitState.ENFORCED : LimitState.UNAVAILABLE,
        detail,
      }),
    ),
    labels: { ...parts.labels },
    agentVersion: AGENT_VERSION,
    agentUser: host.agentUser,
    agentIsRoot: host.agentIsRoot,
    allowUnlimited: parts.allowUnlimited,
    features: [...parts.features],
    warnings: [...host.warnings, ...standingWarnings(parts), ...parts.warnings],
  });
}

/** What an operator should know at start, worst first. */
export function standingWarnings({
  host,
  runtime,
  allowUnlimited,
}: Omit<InventoryParts, 'warnings' | 'features'>): string[] {
  const warnings: string[] = [];
  if (!boundsEverything(runtime.limits)) {
    const consequence = allowUnlimited
      ? 'jobs run without them because of --allow-unlimited and can take the whole host'
      : 'every job is refused; start with --allow-unlimited to run jobs all the same';
    warnings.push(`Limits are missing: ${consequence}. ${missingLimits(runtime.limits).join('; ')}`);
  }
  if (runtime.limits.swap !== ENFORCED) warnings.push(`swap of jobs is not limited: ${runtime.limits.swap}`);
  if (!host.agentIsRoot) {
    warnings.push(`The agent is not root: every job runs as ${host.agentUser}, and is not kept apart from the agent`);
  }
  if (runtime.oomProtection !== 'protected') warnings.push(`out-of-memory protection: ${runtime.oomProtection}`);
  return warnings;
}

/** `memory: unavailable: ...` for each limit without which a job could take the whole host. */
export function missingLimits({ cpu, memory, pids }: LimitReport): string[] {
  return Object.entries({ cpu, memory, pids }).flatMap(([resource, state]) =>
    state === ENFORCED ? [] : [`${resource}: ${state}`],
  );
}
