import { RegisterJobDefinitionRequestSchema } from '@galley/proto';
import { toDefinitionRequest } from '../../definitions.ts';
import { type Plain, toPlain } from '../../plain.ts';
import type { JobDefinition } from '../../types.ts';
import { formatVcpus } from '../format.ts';
import type { DefinitionState } from './cluster-file.ts';

// Definitions are compared as the contract has them, so that nothing that a file cannot say is overlooked.

/** What is of a revision and not of its content. */
const OF_REVISION = new Set(['account', 'name', 'revision', 'active', 'createdAtMs', 'deregisteredAtMs', 'requestId']);

/** What tells one definition from another, as one text. */
export function canonicalDefinition(definition: DefinitionState | JobDefinition): string {
  const plain =
    'revision' in definition
      ? definition
      : toPlain(RegisterJobDefinitionRequestSchema, toDefinitionRequest({ ...definition, name: 'x' }, ''));
  const content = Object.entries(plain).filter(([key]) => !OF_REVISION.has(key));
  return JSON.stringify(pruned(Object.fromEntries(content)));
}

/** Sorted by key, without what says nothing. */
function pruned(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? undefined : value.map(pruned);
  if (typeof value !== 'object' || value === null)
    return value === '' || value === 0 || value === false ? undefined : value;
  const entries = Object.entries(value)
    .map(([key, item]) => [key, pruned(item)] as const)
    .filter(([, item]) => item !== undefined)
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}

/** How a file says it. What a file cannot say is missing: compare. */
export function toFileForm({ task, parameters, retryStrategy, timeout, tags }: JobDefinition): Record<string, unknown> {
  const resources = task?.resources;
  const form: Record<string, unknown> = {
    command: task?.command,
    cpus: resources?.milliVcpu === undefined ? undefined : Number(formatVcpus(resources.milliVcpu)),
    memory: sizeText(resources?.memoryBytes),
    swap: sizeText(resources?.swapBytes),
    pids: resources?.pids,
    named: Object.fromEntries((resources?.named ?? []).map(({ name, count }) => [name, count])),
    env: task?.environment,
    user: task?.runAs?.user,
    workdir: task?.workingDirectory,
    separate_streams: task?.separateStreams,
    stop_grace: task?.stopGraceSeconds,
    timeout: timeout?.attemptDurationSeconds,
    retries: retryStrategy === undefined ? undefined : Math.max(0, retryStrategy.attempts - 1),
    evaluate_on_exit: retryStrategy?.evaluateOnExit.map(ruleForm),
    param: parameters,
    tag: tags,
  };
  return Object.fromEntries(Object.entries(form).filter(([, value]) => !saysNothing(value)));
}

type Rule = NonNullable<JobDefinition['retryStrategy']>['evaluateOnExit'][number];

function ruleForm({ action = '', onExitCode, onReason, onStatusReason }: Rule | Plain<Rule>): Record<string, string> {
  return {
    action: action.toLowerCase(),
    ...(onExitCode === '' ? {} : { on_exit_code: onExitCode }),
    ...(onReason === '' ? {} : { on_reason: onReason }),
    ...(onStatusReason === '' ? {} : { on_status_reason: onStatusReason }),
  };
}

function saysNothing(value: unknown): boolean {
  if (value === undefined || value === '') return true;
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}

const UNITS = [
  ['t', 1024 ** 4],
  ['g', 1024 ** 3],
  ['m', 1024 ** 2],
  ['k', 1024],
] as const;

/** `512m`: exactly these bytes. */
function sizeText(bytes: number | undefined): string | undefined {
  if (bytes === undefined) return undefined;
  const unit = UNITS.find(([, factor]) => bytes >= factor && bytes % factor === 0);
  return unit === undefined ? String(bytes) : `${bytes / unit[1]}${unit[0]}`;
}
