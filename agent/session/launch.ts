import { type AttemptId, type Placement, RuntimeKind } from '@galley/proto';
import { DEFAULT_PIDS, type Limits } from '../cgroup/cgroup.ts';
import type { AttemptLaunch, RuntimeName } from '../runtimes/runtime.ts';
import { containerFault, containerLaunch } from './container-launch.ts';
import { jobEnvironment } from './environment.ts';

/** What a placement without sizes gets; the control plane fills them in, so this is for one that did not. */
const DEFAULT_MILLI_VCPU = 1000;
const DEFAULT_MEMORY_BYTES = 512 * 1024 * 1024;
/** Seconds between SIGTERM and SIGKILL. */
export const DEFAULT_STOP_GRACE_SECONDS = 30;

/** What every agent can do; a placement that requires something else is rejected. */
export const FEATURES: readonly string[] = ['process', 'separate-streams', 'fenced'];
/** Offered while a container engine answers. */
export const CONTAINER_FEATURE = 'container';

/** What runs a job: a container if it says so or names an image. */
export function runtimeOf(placement: Placement | undefined): RuntimeName {
  const { runtime = RuntimeKind.UNSPECIFIED, container } = placement?.task ?? {};
  if (runtime === RuntimeKind.CONTAINER) return 'container';
  return runtime === RuntimeKind.UNSPECIFIED && (container?.image ?? '') !== '' ? 'container' : 'process';
}

export function placementLimits(placement: Placement): Limits {
  const resources = placement.task?.resources;
  return {
    milliVcpu: Number(resources?.milliVcpu ?? DEFAULT_MILLI_VCPU),
    memoryBytes: Number(resources?.memoryBytes ?? DEFAULT_MEMORY_BYTES),
    swapBytes: Number(resources?.swapBytes ?? 0),
    pids: resources?.pids ?? DEFAULT_PIDS,
  };
}

/** Seconds between SIGTERM and SIGKILL for this job. */
export function stopGraceSeconds(placement: Placement): number {
  return placement.task?.stopGraceSeconds ?? DEFAULT_STOP_GRACE_SECONDS;
}

/** Why this agent cannot run such a job as it asks to be run, or undefined. Nothing that a job asks for is left out silently. */
export function unsupported(placement: Placement): string | undefined {
  const known = [...FEATURES, CONTAINER_FEATURE];
  const missing = placement.requiredFeatures.filter((feature) => !known.includes(feature));
  if (missing.length > 0) return `this agent lacks ${missing.join(', ')}`;
  const { task } = placement;
  if (task === undefined) return 'task: required';
  const inContainer = runtimeOf(placement) === 'container';
  const fault = inContainer ? containerFault(task) : undefined;
  if (fault !== undefined) return fault;
  if (task.command.length === 0 && !inContainer) return 'task.command: at least one element, got none';
  const asked: [string, boolean][] = [
    ['run_as.groups', (task.runAs?.groups.length ?? 0) > 0],
    ['secrets', task.secrets.length > 0],
    ['volumes', task.volumes.length > 0 && !inContainer],
    ['shared_paths', task.sharedPaths.length > 0],
    ['inputs', task.inputs.length > 0],
    ['outputs', task.outputs.length > 0],
    ['stdout_path', task.stdoutPath !== ''],
    ['stderr_path', task.stderrPath !== ''],
    ['tty', task.tty === true],
    ['stdin', task.stdin === true],
  ];
  const unable = asked.flatMap(([field, used]) => (used ? [`task.${field}`] : []));
  return unable.length > 0 ? `this agent does not support ${unable.join(', ')}` : undefined;
}

/** The account that a job runs as, looked up on this node: the one that it names, else its submitter's. */
function userOf(placement: Placement): string | undefined {
  const named = placement.task?.runAs?.user ?? '';
  const user = named === '' ? placement.user : named;
  return user === '' ? undefined : user;
}

/** What the runtime is asked to start. */
export function attemptLaunch(
  placement: Placement,
  place: { readonly id: AttemptId; readonly key: string; readonly directory: string; readonly node: string },
): AttemptLaunch {
  const limits = placementLimits(placement);
  const user = userOf(placement);
  const workingDirectory = placement.task?.workingDirectory ?? '';
  return {
    key: place.key,
    directory: place.directory,
    argv: placement.task?.command ?? [],
    environment: jobEnvironment(placement, place.id, place.node, limits),
    ...(workingDirectory === '' ? {} : { workingDirectory }),
    ...(user === undefined ? {} : { user }),
    limits,
    separateStreams: placement.task?.separateStreams === true,
    ...(placement.timeoutSeconds > 0n ? { timeoutSeconds: Number(placement.timeoutSeconds) } : {}),
    stopGraceSeconds: stopGraceSeconds(placement),
    ...(placement.task === undefined || runtimeOf(placement) === 'process'
      ? {}
      : { container: containerLaunch(placement.task) }),
  };
}
