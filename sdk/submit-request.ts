import { randomUUID } from 'node:crypto';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  type ArrayPropertiesSchema,
  DependencyType,
  OnNodeLost,
  type ResourcesSchema,
  RetryAction,
  type RetryStrategySchema,
  type SubmitJobRequest,
  SubmitJobRequestSchema,
  type TaskSpecSchema,
} from '@galley/proto';
import { GalleyError } from './errors.ts';
import type { SubmittedJob } from './types.ts';

/** What a job asks for. What is absent takes the definition's value, then the documented default. */
export interface ResourceRequest {
  /** vCPUs; fractions down to 0.001. Default: 1. */
  readonly vcpus?: number;
  /** Bytes. Default: 512 MiB. */
  readonly memoryBytes?: number;
  /** Bytes of swap beyond the memory. Default: none. */
  readonly swapBytes?: number;
  /** Processes and threads at once. Default: 4096. */
  readonly pids?: number;
  /** Whole units by name: `{ gpu: 1 }`. */
  readonly named?: Readonly<Record<string, number>>;
}

/** What to run and with what: a definition's template, or what a job overrides of it. */
export interface TaskRequest {
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly resources?: ResourceRequest;
  /** Login name on the node. Default: whoever submits. */
  readonly user?: string;
  /** Groups beside those that the node lists for the user. */
  readonly groups?: readonly string[];
  /** Absolute path on the node. Default: the user's home, else `/`. */
  readonly workingDirectory?: string;
  /** stdout and stderr as two streams instead of one in the order written. Default: one. */
  readonly separateStreams?: boolean;
  /** Seconds between SIGTERM and SIGKILL. Default: 30. */
  readonly stopGraceSeconds?: number;
  readonly container?: ContainerRequest;
}

/** A file or directory that a container sees. */
export interface MountRequest {
  /** Absolute path on the node, there already. Default: a scratch directory of the attempt. */
  readonly hostPath?: string;
  /** Absolute path in the container. */
  readonly containerPath: string;
  readonly readOnly?: boolean;
}

/** Runs the job in a container. What is absent takes the definition's value, then the engine's default. */
export interface ContainerRequest {
  /** `repository`, `repository:tag` or `repository@sha256:...`. */
  readonly image?: string;
  /** Default: `missing`. */
  readonly pullPolicy?: 'always' | 'missing' | 'never';
  readonly entrypoint?: readonly string[];
  /** With a path of the host the container runs as the job's user. */
  readonly mounts?: readonly MountRequest[];
  /** `user`, `user:group`, `uid` or `uid:gid` as the image knows them. */
  readonly user?: string;
  readonly networkMode?: 'bridge' | 'host' | 'none';
  readonly readOnlyRoot?: boolean;
  /** An init process that forwards signals and reaps. */
  readonly init?: boolean;
  /** Only on nodes whose administrator allows it. */
  readonly privileged?: boolean;
  /** Bytes of /dev/shm. */
  readonly sharedMemoryBytes?: number;
}

/** What becomes of a failed attempt. It matches when all its patterns do; only a trailing `*` is special. */
export interface ExitRule {
  readonly action: 'RETRY' | 'EXIT';
  /** `137`, `1*`. */
  readonly onExitCode?: string;
  /** `OutOfMemoryError*`. */
  readonly onReason?: string;
  /** `Host EC2*`: the node was lost. */
  readonly onStatusReason?: string;
}

/** How often a job is tried. */
export interface RetryRequest {
  /** Tries in all, 1 to 10. Default: 1. */
  readonly attempts?: number;
  /** Looked at in order after a failed attempt; the first that matches decides; no match retries. At most 5. */
  readonly evaluateOnExit?: readonly ExitRule[];
}

/** The children of an array job: `size` of them, or one for each of the `indices`. */
export interface ArrayRequest {
  /** 1 to 1,000,000 children, indexed from 0. */
  readonly size?: number;
  /** Rising, as `1-96:2` or `1,5,7-9`: what a child reads as GALLEY_ARRAY_INDEX. */
  readonly indices?: string;
  /** Children that may run at once. Default: no limit. */
  readonly concurrency?: number;
  /** Failed children after which no further one is started. Default: all are started. */
  readonly failFastAfter?: number;
  /** Children that run first; the others only when all of these succeeded. Default: none. */
  readonly canary?: number;
  /** Each child waits for the one before it to succeed. Default: false. */
  readonly sequential?: boolean;
}

/** One job to submit. */
export interface JobRequest extends TaskRequest, RetryRequest {
  /** A UUID: identity and idempotency key. Default: a new one. */
  readonly jobId?: string;
  /** Letters, digits, `-`, `_`; up to 128. Default: made from the command. */
  readonly jobName?: string;
  /** Default: `default`. */
  readonly jobQueue?: string;
  /** `name` or `name:revision`. Default: `default`. */
  readonly jobDefinition?: string;
  readonly parameters?: Readonly<Record<string, string>>;
  /** Seconds that one attempt may run. Default: no limit. */
  readonly timeoutSeconds?: number;
  /** Ids of jobs that must succeed first, or how else they must end. */
  readonly dependsOn?: readonly (string | { readonly jobId: string; readonly type: DependencyName })[];
  /** Makes it an array job. */
  readonly array?: ArrayRequest;
  readonly tags?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly project?: string;
  readonly comment?: string;
  readonly schedulingPriority?: number;
  readonly onNodeLost?: 'WAIT' | 'FENCED' | 'RERUN' | 'FAIL';
}

export type DependencyName = Exclude<keyof typeof DependencyType, 'UNSPECIFIED'>;

/** One item's answer of a batched submit. */
export type SubmitResult =
  | { readonly ok: true; readonly job: SubmittedJob }
  | { readonly ok: false; readonly jobId: string; readonly error: GalleyError };

/** The request on the wire, with an id of its own. */
export function toSubmitRequest(job: JobRequest, account: string): SubmitJobRequest {
  const { timeoutSeconds } = job;
  return create(SubmitJobRequestSchema, {
    jobId: job.jobId ?? randomUUID(),
    account,
    jobName: job.jobName ?? nameOf(job),
    jobQueue: job.jobQueue ?? '',
    jobDefinition: job.jobDefinition ?? '',
    parameters: { ...job.parameters },
    task: toTaskSpec(job),
    ...toRetryStrategy(job),
    ...(timeoutSeconds === undefined
      ? {}
      : { timeout: { attemptDurationSeconds: int64('timeoutSeconds', timeoutSeconds) } }),
    dependsOn: [
      ...(job.dependsOn ?? []).map((dependency) =>
        typeof dependency === 'string'
          ? { jobId: dependency }
          : { jobId: dependency.jobId, type: DependencyType[dependency.type] },
      ),
      ...(job.array?.sequential === true ? [{ type: DependencyType.SEQUENTIAL }] : []),
    ],
    ...(job.array === undefined ? {} : { array: toArray(job.array) }),
    tags: { ...job.tags },
    labels: { ...job.labels },
    project: job.project ?? '',
    comment: job.comment ?? '',
    ...(job.schedulingPriority === undefined ? {} : { schedulingPriority: job.schedulingPriority }),
    ...(job.onNodeLost === undefined ? {} : { onNodeLost: OnNodeLost[job.onNodeLost] }),
  });
}

/** Absent where nothing was said: the definition's strategy is taken then. */
export function toRetryStrategy({ attempts, evaluateOnExit = [] }: RetryRequest): {
  retryStrategy?: MessageInitShape<typeof RetryStrategySchema>;
} {
  if (attempts === undefined && evaluateOnExit.length === 0) return {};
  const rules = evaluateOnExit.map(({ action, onExitCode = '', onReason = '', onStatusReason = '' }) => ({
    action: RetryAction[action],
    onExitCode,
    onReason,
    onStatusReason,
  }));
  return { retryStrategy: { attempts: attempts ?? 1, evaluateOnExit: rules } };
}

function toArray(array: ArrayRequest): MessageInitShape<typeof ArrayPropertiesSchema> {
  const { size = 0, indices = '', concurrency = 0, failFastAfter = 0, canary = 0 } = array;
  return { size, indices, concurrency, failFastAfter, canary };
}

export function toTaskSpec(task: TaskRequest): MessageInitShape<typeof TaskSpecSchema> {
  return {
    command: [...(task.command ?? [])],
    environment: { ...task.environment },
    ...(task.resources === undefined ? {} : { resources: toResources(task.resources) }),
    ...(task.user === undefined && task.groups === undefined
      ? {}
      : { runAs: { user: task.user ?? '', groups: [...(task.groups ?? [])] } }),
    workingDirectory: task.workingDirectory ?? '',
    ...(task.separateStreams === undefined ? {} : { separateStreams: task.separateStreams }),
    ...(task.stopGraceSeconds === undefined ? {} : { stopGraceSeconds: task.stopGraceSeconds }),
    ...(task.container === undefined ? {} : toContainer(task.container)),
  };
}

/** Each mount is a volume of its own on the wire: a path of the host, or a scratch directory. */
function toContainer(
  container: ContainerRequest,
): Pick<MessageInitShape<typeof TaskSpecSchema>, 'container' | 'volumes'> {
  const { mounts = [], sharedMemoryBytes, init, readOnlyRoot, privileged } = container;
  return {
    container: {
      image: container.image ?? '',
      pullPolicy: container.pullPolicy ?? '',
      entrypoint: [...(container.entrypoint ?? [])],
      mountPoints: mounts.map(({ containerPath, readOnly = false }, at) => ({
        sourceVolume: `mount-${at}`,
        containerPath,
        readOnly,
      })),
      user: container.user ?? '',
      networkMode: container.networkMode ?? '',
      ...(sharedMemoryBytes === undefined
        ? {}
        : { sharedMemoryBytes: int64('container.sharedMemoryBytes', sharedMemoryBytes) }),
      ...(init === undefined ? {} : { initProcess: init }),
      ...(readOnlyRoot === undefined ? {} : { readOnlyRoot }),
      ...(privileged === undefined ? {} : { privileged }),
    },
    volumes: mounts.map(({ hostPath = '' }, at) => ({ name: `mount-${at}`, hostPath })),
  };
}

export function toResources(resources: ResourceRequest): MessageInitShape<typeof ResourcesSchema> {
  const { vcpus, memoryBytes, swapBytes, pids, named } = resources;
  return {
    ...(vcpus === undefined ? {} : { milliVcpu: int64('resources.vcpus', vcpus, 1000) }),
    ...(memoryBytes === undefined ? {} : { memoryBytes: int64('resources.memoryBytes', memoryBytes) }),
    ...(swapBytes === undefined ? {} : { swapBytes: int64('resources.swapBytes', swapBytes) }),
    ...(pids === undefined ? {} : { pids }),
    named: Object.entries(named ?? {}).map(([name, count]) => ({
      name,
      count: int64(`resources.named.${name}`, count),
    })),
  };
}

/** The wire's integer; a number that none is near (NaN, infinity) throws INVALID_ARGUMENT with the field. */
export function int64(field: string, value: number, factor = 1): bigint {
  const rounded = Math.round(value * factor);
  if (Number.isSafeInteger(rounded)) return BigInt(rounded);
  const description = `must be a number that an integer can hold, got ${value}`;
  throw new GalleyError('INVALID_ARGUMENT', `${field}: ${description}`, { violations: [{ field, description }] });
}

const NAME_MAX_LENGTH = 128;

/** The program's name with what a job name may not hold replaced; `job` where nothing is left of it. */
function nameOf(job: JobRequest): string {
  const program = (job.command?.[0] ?? job.jobDefinition?.split(':')[0] ?? '').split('/').pop() ?? '';
  const name = program.replaceAll(/[^A-Za-z0-9_-]+/g, '-').replace(/^[^A-Za-z0-9]+/, '');
  return name.slice(0, NAME_MAX_LENGTH) || 'job';
}
