import { DependencyType as DependencyTypeMessage, type SubmitJobRequest, type TaskSpec } from '@galley/proto';
import { formatJobId, parseJobId, sameBytes } from '../core/ids.ts';
import type { DependencyType, JobIdBytes } from '../core/types.ts';
import { dependencyType } from '../turn/load.ts';
import { validateContainer } from './container.ts';
import { type ApiError, invalid, notBuilt } from './errors.ts';
import { unbuiltField } from './unbuilt.ts';

// What the rules in the contract cannot say. They ran before: shapes, ranges and patterns are right already.

/** The longest encoding of a request, in bytes. */
export const MAX_REQUEST_BYTES = 256 * 1024;
/** The longest key and value of a tag, as AWS Batch has them. */
const MAX_TAG_KEY_LENGTH = 128;
const MAX_TAG_VALUE_LENGTH = 256;

const RESERVED_VARIABLE = /^(AWS_BATCH|GALLEY_)/;

/** Throws what is wrong with a request by itself, whatever the cluster looks like. */
export function validateSubmit(request: SubmitJobRequest): void {
  const unbuilt = unbuiltField(request);
  if (unbuilt !== undefined) throw notBuilt(unbuilt);
  if (request.task !== undefined) validateTask(request.task);
  validateTags(request.tags);
}

export function validateTask(task: TaskSpec): void {
  const { command, environment, workingDirectory } = task;
  for (let at = 0; at < command.length; at++) {
    if (command[at]?.includes('\0') === true) throw invalid(`task.command[${at}]`, 'must not hold a NUL character');
  }
  for (const name in environment) {
    const field = `task.environment["${name}"]`;
    if (RESERVED_VARIABLE.test(name)) throw invalid(field, 'names that begin with AWS_BATCH or GALLEY_ are reserved');
    if (environment[name]?.includes('\0') === true) throw invalid(field, 'must not hold a NUL character');
  }
  if (workingDirectory !== '' && !workingDirectory.startsWith('/')) {
    throw invalid('task.working_directory', `must be an absolute path, got "${workingDirectory}"`);
  }
  validateContainer(task);
  if (workingDirectory.includes('\0')) throw invalid('task.working_directory', 'must not hold a NUL character');
}

export function validateTags(tags: Readonly<Record<string, string>>): void {
  for (const key in tags) {
    if (key === '' || key.length > MAX_TAG_KEY_LENGTH) {
      throw invalid('tags', `a key has 1 to ${MAX_TAG_KEY_LENGTH} characters, got ${key.length}`);
    }
    if (key.startsWith('aws:')) throw invalid('tags', `keys that begin with aws: are reserved, got "${key}"`);
    const length = tags[key]?.length ?? 0;
    if (length > MAX_TAG_VALUE_LENGTH) {
      throw invalid(`tags["${key}"]`, `at most ${MAX_TAG_VALUE_LENGTH} characters, got ${length}`);
    }
  }
}

/** Refuses a request that is too long, and names the field that makes it so. */
export function validateSize(request: SubmitJobRequest, bytes: number): void {
  if (bytes > MAX_REQUEST_BYTES) throw tooLong(request, bytes);
}

function tooLong(request: SubmitJobRequest, bytes: number): ApiError {
  const ofMap = (map: Readonly<Record<string, string>>) => ofTexts(Object.entries(map).flat());
  const parts: [string, number][] = [
    ['task.command', ofTexts(request.task?.command ?? [])],
    ['task.environment', ofMap(request.task?.environment ?? {})],
    ['parameters', ofMap(request.parameters)],
    ['labels', ofMap(request.labels)],
    ['depends_on', ofTexts(request.dependsOn.map((dependency) => dependency.jobId))],
  ];
  const [field, size] = parts.reduce((longest, part) => (part[1] > longest[1] ? part : longest));
  return invalid(field, `a job has at most ${MAX_REQUEST_BYTES} bytes, got ${bytes}, of which ${size} are here`);
}

function ofTexts(texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
}

export interface Dependency {
  readonly jobId: JobIdBytes;
  readonly type: DependencyType;
}

const NO_DEPENDENCIES: readonly Dependency[] = [];

/** The dependencies of a job, each a job of its own. */
export function parseDependencies(request: SubmitJobRequest, id: JobIdBytes): readonly Dependency[] {
  if (request.dependsOn.length === 0) return NO_DEPENDENCIES;
  const isArray = request.array !== undefined;
  return request.dependsOn.flatMap(({ jobId: text, type }, at) => {
    if (isArray && type === DependencyTypeMessage.SEQUENTIAL) {
      if (text === '') return [];
      const constraint = 'SEQUENTIAL is between the children of this array and names no job';
      throw invalid(`depends_on[${at}].job_id`, `${constraint}, got "${text}"`);
    }
    const jobId = parseJobId(text);
    if (jobId === undefined) throw invalid(`depends_on[${at}].job_id`, `must be a UUID, got "${text}"`);
    if (sameBytes(jobId, id)) {
      throw invalid(`depends_on[${at}].job_id`, `a job cannot wait for itself, got "${formatJobId(id)}"`);
    }
    return [{ jobId, type: isArray ? dependencyType(type) : ofSingleJob(type, at) }];
  });
}

function ofSingleJob(type: DependencyTypeMessage, at: number): DependencyType {
  switch (type) {
    case DependencyTypeMessage.SEQUENTIAL:
      throw invalid(`depends_on[${at}].type`, 'SEQUENTIAL is for array jobs, and this job is none');
    case DependencyTypeMessage.N_TO_N:
      throw invalid(`depends_on[${at}].type`, 'N_TO_N is for array jobs, and this job is none');
    default:
      return dependencyType(type);
  }
}
