import {
  EnvironmentPolicy,
  type JobTimeout,
  type MultiNodeProperties,
  type RetryStrategy,
  type SubmitJobRequest,
  type TaskSpec,
} from '@galley/proto';
import { notBuilt } from './errors.ts';

// The contract has the whole shape of a job from the start. What this version does not do yet is refused by name: a field
// that is silently ignored is a promise broken.

/** The first reserved field that a request sets and this version does not honour. */
export function unbuiltField(request: SubmitJobRequest): string | undefined {
  if (request.multiNode !== undefined) return 'multi_node';
  if (request.shareIdentifier !== '') return 'share_identifier';
  if (request.consumableResources.length > 0) return 'consumable_resources';
  if (request.beginAtMs !== 0n) return 'begin_at_ms';
  if (request.deadlineAtMs !== 0n) return 'deadline_at_ms';
  if (request.constraints.length > 0) return 'constraints';
  if (request.exclusiveNode) return 'exclusive_node';
  if (request.notifications.length > 0) return 'notifications';
  if (request.singleton !== '') return 'singleton';
  return unbuiltTemplateField(request);
}

/** The part that requests and definitions share. */
export function unbuiltTemplateField(template: {
  readonly task?: TaskSpec | undefined;
  readonly retryStrategy?: RetryStrategy | undefined;
  readonly timeout?: JobTimeout | undefined;
  readonly multiNode?: MultiNodeProperties | undefined;
}): string | undefined {
  if (template.multiNode !== undefined) return 'multi_node';
  const retry = template.retryStrategy;
  if (retry !== undefined) {
    if (retry.outOfMemoryFactor !== 0) return 'retry_strategy.out_of_memory_factor';
    if (retry.outOfMemoryCapBytes !== 0n) return 'retry_strategy.out_of_memory_cap_bytes';
    if (retry.onAnotherNode) return 'retry_strategy.on_another_node';
  }
  if (template.timeout !== undefined && template.timeout.warningSignal !== '') return 'timeout.warning_signal';
  return template.task === undefined ? undefined : unbuiltTaskField(template.task);
}

function unbuiltTaskField(task: TaskSpec): string | undefined {
  if (task.runAs !== undefined && task.runAs.groups.length > 0) return 'task.run_as.groups';
  if (task.secrets.length > 0) return 'task.secrets';
  if (task.environmentPolicy === EnvironmentPolicy.SUBMITTED) return 'task.environment_policy';
  if (task.stdoutPath !== '') return 'task.stdout_path';
  if (task.stderrPath !== '') return 'task.stderr_path';
  if (task.sharedPaths.length > 0) return 'task.shared_paths';
  if (task.inputs.length > 0) return 'task.inputs';
  if (task.outputs.length > 0) return 'task.outputs';
  if (task.tty === true) return 'task.tty';
  if (task.stdin === true) return 'task.stdin';
  return undefined;
}

/** The answer of a stream that this version does not have. */
export function notBuiltStream(what: string): AsyncIterable<never> {
  return { [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(notBuilt(what)) }) };
}
