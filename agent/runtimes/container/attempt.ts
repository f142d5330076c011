import type { StopRecord } from '../attempt.ts';
import type { Outcome, Started } from '../runtime.ts';
import type { GroupCounters, GroupDirectories } from './group.ts';
import type { ContainerRecord } from './record.ts';

/**
 * A container attempt in the agent's memory. `preparing` (image, container; not claimed, so it cannot run) → `settling`
 * (claimed; whether it runs is the engine's to say) → `running` → `ending` (over; the rest of its output is being copied) →
 * `ended` (outcome told, container kept until it is released). Every phase can go to `ended`.
 */
export interface ContainerAttempt {
  readonly key: string;
  readonly directory: string;
  phase: 'preparing' | 'settling' | 'running' | 'ending' | 'ended';
  record?: ContainerRecord;
  /** The engine's id, once known: unlike the name it is never used again. */
  id?: string;
  startedAtUptimeMs?: number;
  stop?: StopRecord;
  /** The last signal that the engine has taken for it. */
  signalled?: string;
  signalling?: boolean;
  groups?: GroupDirectories;
  counters: GroupCounters;
  outcome?: Outcome;
  /** The agent ran in another boot when it was launched. */
  readonly earlierBoot: boolean;
  /** Ends the preparation. */
  readonly cancel: AbortController;
  /** Ends the reading of its output. */
  follow?: AbortController;
  readonly started: PromiseWithResolvers<Started>;
}

export function newAttempt(key: string, directory: string, earlierBoot = false): ContainerAttempt {
  return {
    key,
    directory,
    phase: 'preparing',
    counters: {},
    earlierBoot,
    cancel: new AbortController(),
    started: Promise.withResolvers(),
  };
}
