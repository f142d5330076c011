import { createHash } from 'node:crypto';
import { clone, create } from '@bufbuild/protobuf';
import {
  ArrayPropertiesSchema,
  DependencyType,
  type RerunJobsRequest,
  type Resources,
  ResourcesSchema,
  type SubmitJobRequest,
  SubmitJobRequestSchema,
  type SubmitJobResponse,
  TaskSpecSchema,
} from '@galley/proto';
import { formatJobId } from '../core/ids.ts';
import { CHUNK_CHILDREN, ChunkContent } from '../core/records/array-chunk.ts';
import { arrayRange, chunkOf, RANGE_ENDS } from '../core/records/keys.ts';
import { decodeRangeEnd } from '../core/records/range-end.ts';
import { JobState } from '../core/types.ts';
import type { EndedJob } from '../core/view.ts';
import type { Store } from '../store/store.ts';
import type { Turns } from '../turn/turns.ts';
import { accountOf } from './accounts.ts';
import { formatIndices } from './array-indices.ts';
import { givenIndexOf } from './arrays.ts';
import { ApiError, notFound } from './errors.ts';
import { isEnded, type JobLookup } from './job-lookup.ts';
import { causeOf } from './job-messages.ts';
import { readSpec } from './specs.ts';
import type { Submitter } from './submit.ts';
import type { Target } from './targets.ts';

/** The longest list of indices of an array, in characters; as in the contract. */
const MAX_INDICES_LENGTH = 65_536;

interface RerunParts {
  readonly turns: Turns;
  readonly lookup: JobLookup;
  readonly submitter: Submitter;
}

/** Runs jobs again that failed, and of arrays the children that did: each as a new job. */
export async function rerunJobs(
  { turns, lookup, submitter }: RerunParts,
  request: RerunJobsRequest,
  targets: readonly Target[],
  principal: string,
): Promise<SubmitJobResponse[]> {
  const account = accountOf(request);
  const requests: SubmitJobRequest[] = [];
  for (const [id, { target, children }] of groupByJob(targets)) {
    const [job] = await lookup.byIds([{ account, id: target.id }]);
    if (job === undefined) throw notFound('job_ids', `job "${id}"`);
    if (!isEnded(job)) {
      throw new ApiError(
        'FAILED_PRECONDITION',
        `job ${job.number} is not over yet; what failed is run again when it is`,
      );
    }
    const spec = await readSpec(turns.store, job);
    if (spec === undefined) throw notFound('job_ids', `what was submitted as job "${id}"`);
    const again = await requestAgain(turns.store, job, spec, request, children);
    if (again !== undefined) requests.push(again);
  }
  const answers: SubmitJobResponse[] = [];
  for (const again of requests) answers.push(await submitter.submitOne(again, principal));
  return answers;
}

/** Named children of one array are run again together; `undefined`: the job as a whole was named. */
function groupByJob(targets: readonly Target[]) {
  const jobs = new Map<string, { readonly target: Target; children: Set<number> | undefined }>();
  for (const target of targets) {
    const id = formatJobId(target.id);
    const known = jobs.get(id) ?? { target, children: new Set<number>() };
    if (target.child < 0) known.children = undefined;
    else known.children?.add(target.child);
    jobs.set(id, known);
  }
  return jobs;
}

/** The request that runs a job again; undefined when nothing of it is wanted. */
async function requestAgain(
  store: Store,
  job: EndedJob,
  spec: SubmitJobRequest,
  { rerunId, causes, resources }: RerunJobsRequest,
  named: ReadonlySet<number> | undefined,
): Promise<SubmitJobRequest | undefined> {
  const wanted = new Set<number>(causes);
  const again = clone(SubmitJobRequestSchema, spec);
  again.jobId = idOf(rerunId, spec.jobId);
  // The revision that it ran with, whatever has been registered since.
  again.jobDefinition = job.definition;
  again.hold = false;
  // What it waited for as a whole has ended; its children may still go one after the other.
  again.dependsOn = again.dependsOn.filter(({ type }) => type === DependencyType.SEQUENTIAL);
  if (resources !== undefined) {
    again.task ??= create(TaskSpecSchema);
    again.task.resources = overlay(again.task.resources, resources);
  }
  if (job.array === undefined) {
    const chosen = wanted.size === 0 ? job.state === JobState.failed : wanted.has(causeOf(job));
    return chosen ? again : undefined;
  }
  const { failed } = job.array;
  const byCause = wanted.size === 0 ? undefined : await childrenByCause(store, job, wanted);
  const children = [...(named ?? failed.values())]
    .filter(
      (child) => child < (job.array?.size ?? 0) && (byCause?.has(child) ?? (named !== undefined || failed.has(child))),
    )
    .sort((a, b) => a - b);
  if (children.length === 0) return undefined;
  const given = givenIndexOf(spec);
  const indices = formatIndices(children.map((child) => given?.(child) ?? child));
  if (indices.length > MAX_INDICES_LENGTH) {
    const most = `a list of indices has at most ${MAX_INDICES_LENGTH} characters, this has ${indices.length}`;
    throw new ApiError(
      'RESOURCE_EXHAUSTED',
      `${children.length} children of job ${job.number} are too scattered: ${most}`,
    );
  }
  const { concurrency = 0, failFastAfter = 0 } = spec.array ?? {};
  again.array = create(ArrayPropertiesSchema, { indices, concurrency, failFastAfter });
  return again;
}

/** One look at everything that the array kept. */
async function childrenByCause(store: Store, job: EndedJob, causes: ReadonlySet<number>): Promise<Set<number>> {
  const chosen = new Set<number>();
  const contents = new Map<number, ChunkContent>();
  const take = (index: number, content: ChunkContent): void => {
    for (const place of content.raw().keys()) {
      const record = content.get(place);
      if (record?.kind !== 'ended' || record.state !== JobState.failed) continue;
      if (causes.has(record.cause)) chosen.add(index * CHUNK_CHILDREN + place);
    }
    contents.delete(index);
  };
  for await (const page of store.scan(arrayRange(job.account, 'c', job.number))) {
    for (const { key, value } of page) {
      const { chunk } = chunkOf(key);
      for (const [index, content] of contents) if (index !== chunk) take(index, content);
      if (chunk === RANGE_ENDS) {
        const { cause, children } = decodeRangeEnd(value);
        if (causes.has(cause)) for (const child of children.values()) chosen.add(child);
        continue;
      }
      const content = contents.get(chunk) ?? new ChunkContent();
      content.add(value);
      contents.set(chunk, content);
    }
  }
  for (const [index, content] of contents) take(index, content);
  return chosen;
}

function overlay(before: Resources | undefined, asked: Resources): Resources {
  const { named, ...sizes } = asked;
  const given = Object.entries(sizes).filter(([, value]) => value !== undefined);
  return create(ResourcesSchema, {
    ...before,
    ...Object.fromEntries(given),
    named: named.length > 0 ? named : (before?.named ?? []),
  });
}

/** A UUID of the same call and job: who asks again gets the first answer. */
function idOf(rerunId: string, jobId: string): string {
  const bytes = createHash('sha256').update(`${rerunId.toLowerCase()}/${jobId.toLowerCase()}`).digest().subarray(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return formatJobId(bytes);
}
