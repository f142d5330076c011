import { create } from '@bufbuild/protobuf';
import {
  type Resources,
  type SubmitJobRequest,
  type SubmitJobResponse,
  SubmitJobResponseSchema,
  type SubmitJobResult,
  SubmitJobResultSchema,
} from '@galley/proto';
import { known } from '../core/assert.ts';
import { parseJobId, sameBytes } from '../core/ids.ts';
import { specKey } from '../core/records/index.ts';
import type { JobIdBytes, NewArray, NewJob, Refusal, Submitted } from '../core/types.ts';
import type { Turns } from '../turn/turns.ts';
import { accountOf } from './accounts.ts';
import { parseArray } from './arrays.ts';
import { canonicalBatch, canonicalBytes, digestOf } from './canonical.ts';
import type { CompiledDefinition, DefinitionCache } from './definitions.ts';
import type { EndedFacts, FactQuestion, Facts } from './ended-facts.ts';
import { ApiError, invalid, itemStatus, refused, toApiError } from './errors.ts';
import type { FoundJob, JobLookup } from './job-lookup.ts';
import type { JobSource } from './job-source.ts';
import { Pace } from './pace.ts';
import { type JobPlan, planJob, type Sizes, toResources } from './resolve.ts';
import { decodeSpec } from './specs.ts';
import { type Dependency, parseDependencies, validateSize, validateSubmit } from './validate.ts';

/** The queue of a job that names none. */
export const DEFAULT_QUEUE = 'default';

/** Encoded jobs of one call, in bytes. */
const MAX_CALL_BYTES = 4 * 1024 * 1024;
/** An atomic call is one turn, and a turn is one batch of the store. */
const MAX_ATOMIC_JOBS = 1_000;
const MAX_ATOMIC_BYTES = 512 * 1024;
/** What one input to the core carries at most: a slice of a turn, so that others get their share of it. */
const MAX_INPUT_JOBS = 1_000;
const MAX_INPUT_BYTES = 256 * 1024;
/** Jobs of a call that are prepared together, at the most, before others get their turn: one or two milliseconds of work. */
const PIECE_JOBS = 100;
/** How often facts are read anew when the core finds them too old. */
const MAX_FACT_READS = 4;

/** A job that is ready for the core, but for what the store knows. */
interface Prepared {
  /** As the client wrote it. */
  readonly jobId: string;
  readonly name: string;
  readonly hold: boolean;
  readonly id: JobIdBytes;
  readonly account: string;
  readonly queue: string;
  readonly definition: CompiledDefinition;
  readonly plan: JobPlan;
  readonly dependencies: readonly Dependency[];
  readonly array: NewArray | undefined;
  readonly spec: Uint8Array;
  readonly digest: Uint8Array;
}

type Answer = { readonly job: SubmitJobResponse } | { readonly error: ApiError };

/** The way of a job into the core. Everything that is done per job is done here, once, and counts. */
export class Submitter {
  readonly #turns: Turns;
  readonly #definitions: DefinitionCache;
  readonly #facts: EndedFacts;
  readonly #lookup: JobLookup;
  readonly #pace = new Pace();

  constructor(parts: { turns: Turns; definitions: DefinitionCache; facts: EndedFacts; lookup: JobLookup }) {
    this.#turns = parts.turns;
    this.#definitions = parts.definitions;
    this.#facts = parts.facts;
    this.#lookup = parts.lookup;
  }

  async submitOne(request: SubmitJobRequest, principal: string): Promise<SubmitJobResponse> {
    const batch = new Batch(this.#turns, this.#definitions, principal);
    const prepared = batch.prepare(request, canonicalBytes(request));
    if (prepared instanceof ApiError) return this.#firstAnswerOr(request, prepared);
    const [reply] = await this.#apply('each', [prepared], principal);
    const [answer] = await this.#answer([prepared], [known(reply, 'reply')], batch);
    const found = known(answer, 'answer');
    if ('error' in found) throw found.error;
    return found.job;
  }

  /** One result per job. */
  async submitEach(source: JobSource, principal: string): Promise<SubmitJobResult[]> {
    const batch = new Batch(this.#turns, this.#definitions, principal);
    const answers: (Answer | undefined)[] = Array.from({ length: source.count });
    const slices: { readonly at: number[]; readonly jobs: Prepared[]; bytes: number }[] = [];
    const mistaken: Promise<void>[] = [];
    let slice = { at: [] as number[], jobs: [] as Prepared[], bytes: 0 };
    let callBytes = 0;
    const prepare = (request: SubmitJobRequest, spec: Uint8Array, at: number): void => {
      const prepared = batch.prepare(request, spec);
      if (prepared instanceof ApiError) {
        mistaken.push(this.#mistaken(request, prepared).then((answer) => void (answers[at] = answer)));
        return;
      }
      const bytes = prepared.spec.length;
      callBytes += bytes;
      if (slice.jobs.length === MAX_INPUT_JOBS || (slice.bytes > 0 && slice.bytes + bytes > MAX_INPUT_BYTES)) {
        slices.push(slice);
        slice = { at: [], jobs: [], bytes: 0 };
      }
      slice.at.push(at);
      slice.jobs.push(prepared);
      slice.bytes += bytes;
    };
    const pieces = Array.from({ length: Math.ceil(source.count / PIECE_JOBS) }, (_, at) => at * PIECE_JOBS);
    await this.#pace.take(pieces, (from) => {
      const piece = source.piece(from, Math.min(from + PIECE_JOBS, source.count));
      const specs = canonicalBatch(piece);
      for (const [at, request] of piece.entries()) prepare(request, known(specs[at], 'encoded job'), from + at);
    });
    if (slice.jobs.length > 0) slices.push(slice);
    if (callBytes > MAX_CALL_BYTES) {
      await Promise.allSettled(mistaken);
      throw invalid('jobs', `at most ${MAX_CALL_BYTES} bytes encoded in one call, got ${callBytes}`);
    }
    await Promise.all([
      ...mistaken,
      ...slices.map(async ({ at, jobs }) => {
        for (const [index, answer] of (await this.#submitSlice(jobs, principal, batch)).entries()) {
          answers[known(at[index], 'place of an answer')] = answer;
        }
      }),
    ]);
    return answers.map((answer) => toResult(known(answer, 'answer')));
  }

  /** All or none, in one turn. */
  async submitAtomic(source: JobSource, principal: string): Promise<SubmitJobResult[]> {
    if (source.count > MAX_ATOMIC_JOBS) {
      throw invalid('jobs', `at most ${MAX_ATOMIC_JOBS} in an atomic call, got ${source.count}`);
    }
    const batch = new Batch(this.#turns, this.#definitions, principal);
    const requests = source.piece(0, source.count);
    const specs = canonicalBatch(requests);
    const jobs = requests.map((request, at) => {
      const prepared = batch.prepare(request, known(specs[at], 'encoded job'));
      if (prepared instanceof ApiError) throw atIndex(prepared, at);
      return prepared;
    });
    const bytes = jobs.reduce((sum, job) => sum + job.spec.length, 0);
    if (bytes > MAX_ATOMIC_BYTES) {
      throw invalid('jobs', `at most ${MAX_ATOMIC_BYTES} bytes encoded in an atomic call, got ${bytes}`);
    }
    const replies = await this.#apply('atomic', jobs, principal);
    const refusal = replies.find((reply) => !reply.ok);
    if (refusal !== undefined && !refusal.ok) throw refused(refusal);
    return (await this.#answer(jobs, replies, batch)).map(toResult);
  }

  async #submitSlice(jobs: readonly Prepared[], principal: string, batch: Batch): Promise<Answer[]> {
    try {
      return await this.#answer(jobs, await this.#apply('each', jobs, principal), batch);
    } catch (error) {
      const failure = { error: toApiError(error) };
      return jobs.map(() => failure);
    }
  }

  /** Asks the core, with facts that are fresh enough for it. */
  async #apply(mode: 'each' | 'atomic', jobs: readonly Prepared[], principal: string) {
    const questions: FactQuestion[] = [];
    for (const { account, id, dependencies } of jobs) {
      questions.push({ account, jobId: id });
      for (const { jobId } of dependencies) questions.push({ account, jobId });
    }
    for (let read = 1; ; read++) {
      const facts = await this.#facts.read(questions);
      // A store that was reopened meanwhile may hold the end of a job that these facts do not know and the new core has
      // never seen alive.
      if (facts.store !== this.#turns.store && read < MAX_FACT_READS) continue;
      const replies: (Submitted | Refusal)[] = await this.#turns.apply({
        kind: 'submitJobs',
        mode,
        jobs: withFacts(jobs, facts),
        submittedBy: principal,
        factsTurn: facts.turn,
      });
      const stale = replies.some((reply) => !reply.ok && reply.code === 'staleFacts');
      if (!stale || read >= MAX_FACT_READS) return replies;
    }
  }

  async #answer(jobs: readonly Prepared[], replies: readonly (Submitted | Refusal)[], batch: Batch): Promise<Answer[]> {
    const answers: Answer[] = [];
    const repeated: number[] = [];
    for (const [at, job] of jobs.entries()) {
      const reply = known(replies[at], 'reply');
      if (!reply.ok) {
        answers.push({ error: refused(reply) });
        continue;
      }
      if (reply.existed) repeated.push(at);
      answers.push({ job: batch.response(job, reply) });
    }
    // A repeated call gets the first answer: since then the definition may have a newer revision.
    if (repeated.length > 0) {
      const ids = repeated.map((at) => known(jobs[at], 'job'));
      const found = await this.#lookup.byIds(ids);
      for (const [index, at] of repeated.entries()) {
        const job = found[index];
        if (job !== undefined) answers[at] = { job: this.#firstAnswer(decodeSpec(known(jobs[at], 'job').spec), job) };
      }
    }
    return answers;
  }

  async #mistaken(request: SubmitJobRequest, error: ApiError): Promise<Answer> {
    try {
      return { job: await this.#firstAnswerOr(request, error) };
    } catch (failure) {
      return { error: toApiError(failure) };
    }
  }

  /**
   * A request that was accepted once keeps its answer even if it would be refused now, because its definition has been
   * deregistered since.
   */
  async #firstAnswerOr(request: SubmitJobRequest, error: ApiError): Promise<SubmitJobResponse> {
    const id = parseJobId(request.jobId);
    if (id === undefined || error.code === 'INVALID_ARGUMENT' || error.code === 'UNIMPLEMENTED') throw error;
    const account = accountOf(request);
    const [job] = await this.#lookup.byIds([{ account, id }]);
    if (job === undefined) throw error;
    const spec = await this.#turns.store.get(specKey(account, job.number));
    if (spec === undefined || !sameBytes(spec, canonicalBytes(request))) throw error;
    return this.#firstAnswer(request, job);
  }

  #firstAnswer(request: SubmitJobRequest, job: FoundJob): SubmitJobResponse {
    const definition = this.#definitions.pinned(this.#turns.view, job.account, job.definition);
    return create(SubmitJobResponseSchema, {
      jobId: request.jobId,
      number: BigInt(job.number),
      jobName: request.jobName,
      jobQueue: job.queue,
      jobDefinition: job.definition,
      ...(definition === undefined
        ? {}
        : { resources: toResources(planJob(request, definition.message, job.user).sizes) }),
      existed: true,
      user: job.user,
    });
  }
}

/** What the jobs of one call share. */
class Batch {
  readonly #turns: Turns;
  readonly #cache: DefinitionCache;
  readonly #principal: string;
  readonly #definitions = new Map<string, CompiledDefinition>();
  #sizes: Sizes | undefined;
  #resources: Resources | undefined;

  constructor(turns: Turns, cache: DefinitionCache, principal: string) {
    this.#turns = turns;
    this.#cache = cache;
    this.#principal = principal;
  }

  /** Validates and plans one job; an error is returned, because in a batch it is one answer among many. */
  prepare(request: SubmitJobRequest, spec: Uint8Array): Prepared | ApiError {
    try {
      return this.#prepare(request, spec);
    } catch (error) {
      if (error instanceof ApiError) return error;
      throw error;
    }
  }

  #prepare(request: SubmitJobRequest, spec: Uint8Array): Prepared {
    const id = parseJobId(request.jobId);
    if (id === undefined) throw invalid('job_id', `must be a UUID, got "${request.jobId}"`);
    validateSubmit(request);
    validateSize(request, spec.length);
    const account = accountOf(request);
    const definition = this.#definition(account, request.jobDefinition);
    const { message } = definition;
    const plan = planJob(request, message, this.#principal);
    const commands = (request.task?.command.length ?? 0) + (message.task?.command.length ?? 0);
    // An image brings a command of its own; whether this one does is known where it is.
    if (commands === 0 && !plan.requirements.features.includes('container')) {
      throw invalid('task.command', `at least one element, from the request or from ${definition.id}; got none`);
    }
    return {
      jobId: request.jobId,
      name: request.jobName,
      hold: request.hold,
      id,
      account,
      queue: request.jobQueue === '' ? DEFAULT_QUEUE : request.jobQueue,
      definition,
      plan,
      dependencies: parseDependencies(request, id),
      array: parseArray(request),
      spec,
      digest: digestOf(spec),
    };
  }

  #definition(account: string, text: string): CompiledDefinition {
    const key = `${account}/${text}`;
    let definition = this.#definitions.get(key);
    if (definition === undefined) {
      definition = this.#cache.forNewJob(this.#turns.view, account, text);
      this.#definitions.set(key, definition);
    }
    return definition;
  }

  response({ jobId, name, queue, definition, plan }: Prepared, reply: Submitted): SubmitJobResponse {
    return create(SubmitJobResponseSchema, {
      jobId,
      number: BigInt(reply.number),
      jobName: name,
      jobQueue: queue,
      jobDefinition: definition.id,
      resources: this.#resourcesOf(plan.sizes),
      existed: reply.existed,
      user: plan.user,
    });
  }

  /** Jobs of one call are mostly alike: the last answer's message serves the next. */
  #resourcesOf(sizes: Sizes): Resources {
    const last = this.#sizes;
    if (this.#resources === undefined || last === undefined || !sameSizes(last, sizes)) {
      this.#sizes = sizes;
      this.#resources = toResources(sizes);
    }
    return this.#resources;
  }
}

function sameSizes(a: Sizes, b: Sizes): boolean {
  return (
    a.milliVcpu === b.milliVcpu &&
    a.memoryBytes === b.memoryBytes &&
    a.swapBytes === b.swapBytes &&
    a.pids === b.pids &&
    a.named === b.named
  );
}

function withFacts(jobs: readonly Prepared[], facts: Facts): NewJob[] {
  let at = 0;
  return jobs.map(({ name, hold, id, account, queue, definition, plan, dependencies, array, spec, digest }) => ({
    id,
    account,
    queue,
    definition: definition.id,
    user: plan.user,
    name,
    requirements: plan.requirements,
    retry: plan.retry,
    onNodeLost: plan.onNodeLost,
    priority: plan.priority,
    hold,
    ended: facts.ended[at++],
    dependsOn: dependencies.map(({ jobId, type }) => ({ jobId, type, ended: facts.ended[at++] })),
    array,
    spec,
    digest,
  }));
}

/** An error of one job of a call that is taken or refused as a whole. */
function atIndex(error: ApiError, at: number): ApiError {
  const violations = error.violations.map((violation) => ({ ...violation, field: `jobs[${at}].${violation.field}` }));
  const { reason } = error;
  return new ApiError(error.code, `jobs[${at}]: ${error.message}`, {
    violations,
    ...(reason === undefined ? {} : { reason }),
  });
}

function toResult(answer: Answer): SubmitJobResult {
  return 'error' in answer
    ? create(SubmitJobResultSchema, { result: { case: 'error', value: itemStatus(answer.error) } })
    : create(SubmitJobResultSchema, { result: { case: 'job', value: answer.job } });
}
