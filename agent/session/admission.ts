import type { Inventory, Placement } from '@galley/proto';
import type { LimitReport } from '../cgroup/cgroup.ts';
import { boundsEverything } from '../cgroup/open.ts';
import { missingLimits } from '../inventory/inventory.ts';
import { placementLimits, runtimeOf, unsupported } from './launch.ts';

/** When a rejected job may be offered to this node again, in milliseconds. */
const RETRY_MS = {
  /** Another attempt is still giving its resources back. */
  noRoom: 2_000,
  /** The container engine may be restarting. */
  noEngine: 15_000,
  /** Only another start of the agent changes this. */
  cannot: 600_000,
};

/** What the attempts on a node hold together. */
export interface Held {
  milliVcpu: number;
  memoryBytes: number;
  readonly named: Map<string, number>;
}

export interface Rejection {
  readonly reason: string;
  readonly retryAfterMs: number;
}

export interface AdmissionRules {
  readonly inventory: Inventory;
  readonly limits: LimitReport;
  readonly allowUnlimited: boolean;
  /** Why no container can be started now, or undefined. */
  readonly containerFault: string | undefined;
}

export function emptyHeld(): Held {
  return { milliVcpu: 0, memoryBytes: 0, named: new Map() };
}

/** Adds what a placement takes, or with -1 gives it back. */
export function hold(held: Held, placement: Placement, sign: 1 | -1): void {
  const { milliVcpu, memoryBytes } = placementLimits(placement);
  held.milliVcpu += sign * milliVcpu;
  held.memoryBytes += sign * memoryBytes;
  for (const { name, count } of placement.task?.resources?.named ?? []) {
    held.named.set(name, (held.named.get(name) ?? 0) + sign * Number(count));
  }
}

/** Why a placement is not taken, or undefined. A rejection uses up no attempt. */
export function admit(placement: Placement, held: Held, rules: AdmissionRules): Rejection | undefined {
  const reason = unsupported(placement);
  if (reason !== undefined) return { reason, retryAfterMs: RETRY_MS.cannot };
  if (rules.containerFault !== undefined && runtimeOf(placement) === 'container') {
    return { reason: `no container can be started: ${rules.containerFault}`, retryAfterMs: RETRY_MS.noEngine };
  }
  if (!rules.allowUnlimited && !boundsEverything(rules.limits)) {
    const missing = missingLimits(rules.limits).join('; ');
    return {
      reason: `this node cannot limit its jobs and was not started with --allow-unlimited (${missing})`,
      retryAfterMs: RETRY_MS.cannot,
    };
  }
  const lack = lacking(placement, held, rules.inventory);
  return lack === undefined ? undefined : { reason: `no room: ${lack}`, retryAfterMs: RETRY_MS.noRoom };
}

function lacking(placement: Placement, held: Held, inventory: Inventory): string | undefined {
  const { milliVcpu, memoryBytes } = placementLimits(placement);
  const offered = inventory.allocatable;
  const freeCpu = Number(offered?.milliVcpu ?? 0) - held.milliVcpu;
  if (milliVcpu > freeCpu) return `${milliVcpu} milli-vCPU asked, ${freeCpu} free`;
  const freeMemory = Number(offered?.memoryBytes ?? 0) - held.memoryBytes;
  if (memoryBytes > freeMemory) return `${memoryBytes} bytes of memory asked, ${freeMemory} free`;
  for (const { name, count } of placement.task?.resources?.named ?? []) {
    const total = offered?.named.find((resource) => resource.name === name)?.count ?? 0n;
    const free = Number(total) - (held.named.get(name) ?? 0);
    if (Number(count) > free) return `${count} ${name} asked, ${free} free`;
  }
  return undefined;
}
