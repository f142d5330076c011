import type { Hierarchy, LimitReport } from './cgroup.ts';
import { ENFORCED } from './cgroup.ts';
import type { Hierarchies } from './detect.ts';
import { detectHierarchies } from './detect.ts';
import { openV1 } from './v1.ts';
import { openV2 } from './v2.ts';

export interface OpenedCgroups {
  /** Absent on a node (or for a user) that has no control groups at all. */
  readonly hierarchy?: Hierarchy;
  readonly limits: LimitReport;
}

/**
 * Opens the control groups of this node under the name `group`. v1 is taken where it holds the memory controller,
 * otherwise v2: on the hybrid layout the controllers are in v1 and the v2 tree beside it is empty.
 */
export function openCgroups(group: string, hierarchies: Hierarchies = detectHierarchies()): OpenedCgroups {
  const root = process.getuid?.() === 0;
  if (hierarchies.v1.has('memory') || hierarchies.v1.has('cpu') || hierarchies.v1.has('pids')) {
    return openV1(hierarchies.v1, group);
  }
  if (hierarchies.v2 !== undefined) return openV2(hierarchies.v2, group, root);
  const reason = 'unavailable: no control groups are mounted on this machine';
  return { limits: { cpu: reason, memory: reason, pids: reason, swap: reason } };
}

/** True when a job cannot take the host with it: memory, CPU and processes are all bounded. */
export function boundsEverything(limits: LimitReport): boolean {
  return limits.cpu === ENFORCED && limits.memory === ENFORCED && limits.pids === ENFORCED;
}
