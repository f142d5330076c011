import { create } from '@bufbuild/protobuf';
import {
  type JobDefinition,
  type JobTimeout,
  OnNodeLost as OnNodeLostMessage,
  type Resources,
  ResourcesSchema,
  RetryAction,
  type RetryStrategy,
  RunAsSchema,
  RuntimeKind,
  type SubmitJobRequest,
  type TaskSpec,
  TaskSpecSchema,
} from '@galley/proto';
import { namesHostLoss } from '../core/jobs/retry.ts';
import { OnNodeLost, type Requirements, type RetryPolicy } from '../core/types.ts';
import { checkResolvedContainer, mergeContainer, wantsContainer } from './container.ts';
import { hasReferences, overlayParameters, substitute } from './substitute.ts';

/**
 * What a job is once its definition, what it overrides, its parameters and the documented defaults are put together.
 * `planJob` gives what it is scheduled by and is all that a submit needs; `resolveTask` gives what the node runs.
 */

export const DEFAULT_MILLI_VCPU = 1000;
export const DEFAULT_MEMORY_BYTES = 512 * 1024 * 1024;
export const DEFAULT_SWAP_BYTES = 0;
export const DEFAULT_PIDS = 4096;
/** Seconds between SIGTERM and SIGKILL. */
export const DEFAULT_STOP_GRACE_SECONDS = 30;

/** What a definition is to a job that uses it: an immutable revision. */
export type DefinitionTemplate = Pick<
  JobDefinition,
  'task' | 'parameters' | 'retryStrategy' | 'timeout' | 'schedulingPriority'
>;

/** What a job is scheduled by. */
export interface JobPlan {
  readonly user: string;
  readonly sizes: Sizes;
  readonly requirements: Requirements;
  readonly retry: RetryPolicy;
  readonly onNodeLost: OnNodeLost;
  readonly priority: number;
}

/** A job's resources with every default filled in. */
export interface Sizes {
  readonly milliVcpu: number;
  readonly memoryBytes: number;
  readonly swapBytes: number;
  readonly pids: number;
  /** Sorted by name. */
  readonly named: Requirements['named'];
}

/** Throws ApiError for what only shows with definition and request together: parameters that are missing, mounts of nothing. */
export function planJob(request: SubmitJobRequest, definition: DefinitionTemplate, principal: string): JobPlan {
  const [mine, template] = [request.task, definition.task];
  const sizes = mergeSizes(template?.resources, mine?.resources);
  const retry = compileRetry(request.retryStrategy ?? definition.retryStrategy);
  const onNodeLost = lostNodeRule(request.onNodeLost, retry);
  const command = commandOf(template, mine);
  if (hasReferences(command)) substitute(command, overlayParameters(definition.parameters, request.parameters));
  const container = mergeContainer(template?.container, mine?.container);
  const runtime = mine?.runtime || template?.runtime;
  checkResolvedContainer(runtime, container, listOf(template?.volumes ?? [], mine?.volumes ?? []));
  return {
    user: userOf(template, mine, principal),
    sizes,
    requirements: {
      milliVcpu: sizes.milliVcpu,
      memoryBytes: sizes.memoryBytes,
      named: sizes.named,
      features: featuresOf(template, mine, wantsContainer(runtime, container), onNodeLost),
    },
    retry,
    onNodeLost,
    priority: request.schedulingPriority ?? definition.schedulingPriority ?? 0,
  };
}

/**
 * What runs: the definition's task overridden field by field (`environment` by name, `resources` by kind, `container` by
 * field, other lists and messages as a whole when they are not empty), parameters in place, defaults filled in. Pure: the same inputs, always the
 * same task, so it is computed again at each placement instead of being kept.
 */
export function resolveTask(request: SubmitJobRequest, definition: DefinitionTemplate, principal: string): TaskSpec {
  const mine = request.task ?? EMPTY_TASK;
  const template = definition.task ?? EMPTY_TASK;
  const sizes = mergeSizes(template.resources, mine.resources);
  const runAs = mine.runAs ?? template.runAs;
  const command = commandOf(template, mine);
  return create(TaskSpecSchema, {
    runtime: mine.runtime === RuntimeKind.UNSPECIFIED ? template.runtime : mine.runtime,
    command: hasReferences(command)
      ? substitute(command, overlayParameters(definition.parameters, request.parameters))
      : command,
    environment: mergeEnvironment(template.environment, mine.environment),
    resources: toResources(sizes),
    runAs: create(RunAsSchema, { user: userOf(template, mine, principal), groups: runAs?.groups ?? [] }),
    workingDirectory: mine.workingDirectory || template.workingDirectory,
    separateStreams: mine.separateStreams ?? template.separateStreams ?? false,
    ...optional('container', mergeContainer(template.container, mine.container)),
    volumes: listOf(template.volumes, mine.volumes),
    secrets: listOf(template.secrets, mine.secrets),
    jobRole: mine.jobRole || template.jobRole,
    executionRole: mine.executionRole || template.executionRole,
    environmentPolicy: mine.environmentPolicy || template.environmentPolicy,
    stdoutPath: mine.stdoutPath || template.stdoutPath,
    stderrPath: mine.stderrPath || template.stderrPath,
    sharedPaths: listOf(template.sharedPaths, mine.sharedPaths),
    inputs: listOf(template.inputs, mine.inputs),
    outputs: listOf(template.outputs, mine.outputs),
    ...optional('tty', mine.tty ?? template.tty),
    ...optional('stdin', mine.stdin ?? template.stdin),
    stopGraceSeconds: mine.stopGraceSeconds ?? template.stopGraceSeconds ?? DEFAULT_STOP_GRACE_SECONDS,
  });
}

/** The job's time-out: the request's as a whole, else the definition's. */
export function resolveTimeout(request: SubmitJobRequest, definition: DefinitionTemplate): JobTimeout | undefined {
  return request.timeout ?? definition.timeout;
}

/** Seconds that one attempt may run; 0: no limit. */
export function timeoutSeconds(request: SubmitJobRequest, definition: DefinitionTemplate): bigint {
  return resolveTimeout(request, definition)?.attemptDurationSeconds ?? 0n;
}

export function toResources(sizes: Sizes): Resources {
  return create(ResourcesSchema, {
    milliVcpu: BigInt(sizes.milliVcpu),
    memoryBytes: BigInt(sizes.memoryBytes),
    swapBytes: BigInt(sizes.swapBytes),
    pids: sizes.pids,
    named: sizes.named.map(({ name, count }) => ({ name, count: BigInt(count) })),
  });
}

const EMPTY_TASK: TaskSpec = create(TaskSpecSchema);
const NO_NAMED: Requirements['named'] = [];

function mergeSizes(template: Resources | undefined, mine: Resources | undefined): Sizes {
  return {
    milliVcpu: Number(mine?.milliVcpu ?? template?.milliVcpu ?? DEFAULT_MILLI_VCPU),
    memoryBytes: Number(mine?.memoryBytes ?? template?.memoryBytes ?? DEFAULT_MEMORY_BYTES),
    swapBytes: Number(mine?.swapBytes ?? template?.swapBytes ?? DEFAULT_SWAP_BYTES),
    pids: mine?.pids ?? template?.pids ?? DEFAULT_PIDS,
    named: mergeNamed(template?.named, mine?.named),
  };
}

function mergeNamed(template: Resources['named'] = [], mine: Resources['named'] = []): Requirements['named'] {
  if (template.length === 0 && mine.length === 0) return NO_NAMED;
  const byName = new Map([...template, ...mine].map(({ name, count }) => [name, Number(count)]));
  return [...byName].map(([name, count]) => ({ name, count })).sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Entries without a value are dropped, as AWS Batch does: an empty override takes the template's variable away. */
function mergeEnvironment(
  template: Readonly<Record<string, string>>,
  mine: Readonly<Record<string, string>>,
): Record<string, string> {
  return Object.fromEntries(Object.entries({ ...template, ...mine }).filter(([, value]) => value !== ''));
}

function commandOf(template: TaskSpec | undefined, mine: TaskSpec | undefined): string[] {
  return listOf(template?.command ?? [], mine?.command ?? []);
}

function listOf<T>(template: T[], mine: T[]): T[] {
  return mine.length > 0 ? mine : template;
}

function userOf(template: TaskSpec | undefined, mine: TaskSpec | undefined, principal: string): string {
  return (mine?.runAs ?? template?.runAs)?.user || principal;
}

const NO_RULES: RetryPolicy = { attempts: 1, rules: [] };

function compileRetry(strategy: RetryStrategy | undefined): RetryPolicy {
  if (strategy === undefined) return NO_RULES;
  return {
    attempts: Math.max(1, strategy.attempts),
    rules: strategy.evaluateOnExit.map((rule) => ({
      onStatusReason: rule.onStatusReason,
      onReason: rule.onReason,
      onExitCode: rule.onExitCode,
      action: rule.action === RetryAction.EXIT ? 'exit' : 'retry',
    })),
  };
}

function lostNodeRule(asked: SubmitJobRequest['onNodeLost'], retry: RetryPolicy): OnNodeLost {
  switch (asked) {
    case OnNodeLostMessage.WAIT:
      return OnNodeLost.wait;
    case OnNodeLostMessage.FENCED:
      return OnNodeLost.fenced;
    case OnNodeLostMessage.RERUN:
      return OnNodeLost.rerun;
    case OnNodeLostMessage.FAIL:
      return OnNodeLost.fail;
    default:
      return namesHostLoss(retry) ? OnNodeLost.fenced : OnNodeLost.wait;
  }
}

const NO_FEATURES: readonly string[] = [];

/** What a node's agent must offer beyond the plainest process, sorted. */
function featuresOf(
  template: TaskSpec | undefined,
  mine: TaskSpec | undefined,
  container: boolean,
  onNodeLost: OnNodeLost,
): readonly string[] {
  const fenced = onNodeLost === OnNodeLost.fenced;
  const separate = mine?.separateStreams ?? template?.separateStreams ?? false;
  if (!container && !fenced && !separate) return NO_FEATURES;
  return [
    ...(container ? ['container'] : []),
    ...(fenced ? ['fenced'] : []),
    ...(separate ? ['separate-streams'] : []),
  ];
}

function optional<K extends string, V>(key: K, value: V | undefined): Partial<Record<K, V>> {
  return value === undefined ? {} : ({ [key]: value } as Record<K, V>);
}
