import { EPOCH_NUMBER_GAP } from './limits.ts';
import { type CoreState, emit, updateCluster } from './state.ts';
import type { Pause, PauseScheduling, Replies, ResumeScheduling } from './types.ts';

/** Everything that keeps the scheduler from placing, besides nodes that are awaited. */
export function pauses(core: CoreState): Pause[] {
  const found: Pause[] = [];
  if (core.loss !== undefined) found.push(core.loss);
  if (core.restored !== undefined) found.push(core.restored);
  const { pause } = core.cluster;
  if (pause !== undefined) found.push({ cause: 'operator', message: pause.reason, sinceMs: pause.sinceMs });
  return found;
}

export function pauseScheduling(core: CoreState, { reason }: PauseScheduling): undefined {
  updateCluster(core, { pause: { reason, sinceMs: core.wallMs } });
  return undefined;
}

/** Opens scheduling, as far as the operator's word goes. */
export function resumeScheduling(core: CoreState, input: ResumeScheduling): Replies['resume'] {
  core.restored = undefined;
  updateCluster(core, { pause: undefined, restoredAtMs: undefined });
  if (input.acceptLoss && core.loss !== undefined) {
    core.loss = undefined;
    core.raiseEpoch = true;
    startEpoch(core);
    emit(core, { kind: 'resync' });
  }
  if (input.waiveMissingNodes) {
    core.awaitedNodes.clear();
    updateCluster(core, { awaitedNodes: [] });
  }
  for (const environment of core.environments.values()) environment.freed = true;
  return { pauses: pauses(core), awaitedNodes: [...core.awaitedNodes] };
}

/** What was committed after this state is lost: nothing is placed until every known node has said what it holds. */
export function startEpoch(core: CoreState): void {
  core.awaitedNodes = new Set([...core.nodes.entries()].filter(([, node]) => !node.off).map(([key]) => key));
  const lostNumbersFrom = core.cluster.nextNumber;
  const nextNumber = lostNumbersFrom + EPOCH_NUMBER_GAP;
  updateCluster(core, { awaitedNodes: [...core.awaitedNodes], nextNumber, lostNumbersFrom });
}
