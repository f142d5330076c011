import { createHash } from 'node:crypto';
import { GalleyError } from '../../errors.ts';
import type { JobRequest } from '../../submit-request.ts';
import type { TextDocument } from '../document/document.ts';
import { toJobRequest } from '../job-options.ts';
import type { FileDependency, FileJob } from './job-file.ts';

/**
 * The jobs of a file as requests. Their ids come from the request id and their place: the same file under the same request
 * id is the same jobs, so that submitting it again is harmless, and a changed file under it is refused.
 */
export async function toRequests(
  jobs: readonly FileJob[],
  requestId: string,
  find: (references: readonly string[]) => Promise<readonly string[]>,
): Promise<JobRequest[]> {
  const references = [...new Set(jobs.flatMap(({ dependsOn }) => dependsOn.flatMap(submittedBefore)))];
  const found = references.length === 0 ? [] : await find(references);
  const known = new Map(references.map((reference, at) => [reference, found[at] ?? '']));
  const ids = jobs.map((_, place) => jobIdOf(requestId, place));
  const idOf = ({ on }: FileDependency) => (on.kind === 'inFile' ? ids[on.place] : known.get(on.job)) ?? '';
  return jobs.map(({ options, command, dependsOn }, place) => ({
    ...toJobRequest(options, command, []),
    jobId: ids[place] ?? '',
    ...(dependsOn.length === 0 ? {} : { dependsOn: dependsOn.map((each) => dependencyOf(idOf(each), each.type)) }),
  }));
}

function submittedBefore({ on }: FileDependency): string[] {
  return on.kind === 'submitted' ? [on.job] : [];
}

function dependencyOf(jobId: string, type: FileDependency['type']): NonNullable<JobRequest['dependsOn']>[number] {
  if (type === undefined) return jobId;
  const names = {
    sequential: 'SEQUENTIAL',
    n_to_n: 'N_TO_N',
    after_any: 'AFTER_ANY',
    after_not_ok: 'AFTER_NOT_OK',
  } as const;
  return { jobId, type: names[type] };
}

/** A UUID of the kind that anyone may define (RFC 9562, version 8). */
export function jobIdOf(requestId: string, place: number): string {
  const bytes = createHash('sha256').update(`galley job file\0${requestId}\0${place}`).digest().subarray(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** What the contract calls a field, where a file calls it otherwise; by its beginning. */
const FILE_KEYS: readonly (readonly [string, string])[] = [
  ['job_name', 'name'],
  ['job_queue', 'queue'],
  ['job_definition', 'definition'],
  ['task.command', 'command'],
  ['task.environment', 'env'],
  ['task.resources.milli_vcpu', 'cpus'],
  ['task.resources.memory_bytes', 'memory'],
  ['task.resources.swap_bytes', 'swap'],
  ['task.resources.pids', 'pids'],
  ['task.resources.named', 'named'],
  ['task.run_as.user', 'user'],

  ['task.working_directory', 'workdir'],
  ['parameters', 'param'],
  ['tags', 'tag'],
];

/** A refusal that names `jobs[3].job_queue` is shown at that place of the file. Throws whatever is to be shown. */
export function throwInFile(error: unknown, document: TextDocument, jobs: readonly FileJob[]): never {
  if (error instanceof GalleyError) {
    for (const { field, description } of error.violations) {
      const match = /^jobs\[(\d+)\]\.?(.*)$/.exec(field);
      const job = jobs[Number(match?.[1] ?? Number.NaN)];
      const path = match?.[2] ?? '';
      const key = FILE_KEYS.find(([name]) => path.startsWith(name))?.[1] ?? path.split(/[.[]/)[0] ?? '';
      const value = job?.fields.get(key) ?? job?.value;
      value?.complain(job?.fields.has(key) === true || path === '' ? description : `${path}: ${description}`);
    }
    document.throwMistakes();
  }
  throw error;
}
