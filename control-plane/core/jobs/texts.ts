import { assertNever } from '../assert.ts';
import { EndCause } from '../types.ts';

// AWS Batch's texts are a de-facto interface: retry rules and clients match on them (aws-batch.md, B.6).

export const DEPENDENCY_FAILED = 'Dependent Job failed';
export const QUEUE_DELETED = 'JobQueue deleted';
const ENDED_BY_ITSELF = 'Essential container in task exited';
const TIMED_OUT = 'Job attempt duration exceeded timeout';
const NOT_STARTED = 'Task failed to start';

/** AWS's text for a host that is gone. */
export function hostTerminated(node: string): string {
  return `Host EC2 (instance ${node}) terminated.`;
}

/** The attempt-level `statusReason` of an attempt that ended. `stopReason` is what the caller of a stop gave. */
export function attemptStatusReason(cause: EndCause, node: string, stopReason: string): string {
  switch (cause) {
    case EndCause.none:
    case EndCause.exited:
    case EndCause.signalled:
    case EndCause.outOfMemory:
    case EndCause.supervisorLost:
    case EndCause.diskFull:
      return ENDED_BY_ITSELF;
    case EndCause.timedOut:
      return TIMED_OUT;
    case EndCause.stopped:
      return stopReason === '' ? 'Stopped on the node' : stopReason;
    case EndCause.launchFailed:
      return NOT_STARTED;
    case EndCause.nodeLost:
      return hostTerminated(node);
    case EndCause.dependencyFailed:
      return DEPENDENCY_FAILED;
    case EndCause.queueDeleted:
      return QUEUE_DELETED;
    case EndCause.preempted:
      return 'Preempted by a job of a higher queue';
    case EndCause.deadline:
      return 'Deadline passed';
    default:
      return assertNever(cause);
  }
}
