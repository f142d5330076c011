import { type JobService, SubmitMode } from '@galley/proto';
import { formatJobId, parseJobId } from '../core/ids.ts';
import type { JobIdBytes } from '../core/types.ts';
import type { Handlers } from '../server/handler.ts';
import { accountOf } from './accounts.ts';
import { listChildren } from './child-list.ts';
import { DefinitionCache } from './definitions.ts';
import { EndedFacts } from './ended-facts.ts';
import { invalid, notBuilt, notFound } from './errors.ts';
import { cancelJobs } from './job-cancel.ts';
import { describeJobs } from './job-detail.ts';
import { explainJob } from './job-explain.ts';
import { listJobs } from './job-list.ts';
import { JobLookup } from './job-lookup.ts';
import { rerunJobs } from './job-rerun.ts';
import { decodedJobs } from './job-source.ts';
import { watchJobs } from './job-watch.ts';
import type { ApiParts } from './parts.ts';
import { Submitter } from './submit.ts';
import { parseTargets } from './targets.ts';
import { notBuiltStream } from './unbuilt.ts';

/** Jobs: submit, look, wait, end. */
export function createJobService(parts: ApiParts): Handlers<typeof JobService> {
  const { turns } = parts;
  const definitions = new DefinitionCache();
  const lookup = new JobLookup(turns);
  const submitter = new Submitter({ turns, definitions, lookup, facts: new EndedFacts(turns) });
  return {
    submitJob: (request, { principal }) => submitter.submitOne(request, principal),

    submitJobs: async ({ jobs, mode }, { principal }) => ({
      results:
        mode === SubmitMode.ATOMIC
          ? await submitter.submitAtomic(decodedJobs(jobs), principal)
          : await submitter.submitEach(decodedJobs(jobs), principal),
    }),

    getJob: async (request) => {
      const job = await lookup.find(accountOf(request), request.job, 'job');
      const [detail] = await describeJobs(turns, definitions, [job]);
      if (detail === undefined) throw notFound('job', `job "${request.job}"`);
      return { job: detail };
    },

    describeJobs: async (request) => {
      const account = accountOf(request);
      const targets = parseTargets(request.jobIds);
      const found = await lookup.byIds(targets.map((target) => ({ account, ...target })));
      const jobs = found.filter((job) => job !== undefined);
      return { jobs: await describeJobs(turns, definitions, jobs) };
    },

    listJobs: (request) =>
      request.arrayJobId === '' ? listJobs(turns, request) : listChildren(turns, lookup, request),

    watchJobs: (request, { signal }) =>
      watchJobs(parts, lookup, accountOf(request), parseTargets(request.jobIds), signal),

    cancelJobs: async (request) => ({
      results: await cancelJobs(turns, lookup, request, parseTargets(request.jobIds)),
    }),

    holdJobs: async (request) => {
      const held = await turns.apply({ kind: 'holdJobs', jobs: parseJobIds(request.jobIds) });
      return { heldJobIds: held.map(formatJobId) };
    },

    releaseJobs: async (request) => {
      const released = await turns.apply({ kind: 'releaseJobs', jobs: parseJobIds(request.jobIds) });
      return { releasedJobIds: released.map(formatJobId) };
    },

    explainJob: async (request) => {
      if (request.dryRun !== undefined) throw notBuilt('dry_run');
      return explainJob(turns, await lookup.find(accountOf(request), request.jobId, 'job_id'));
    },

    updateJob: async () => {
      throw notBuilt('UpdateJob');
    },
    pauseJobs: async () => {
      throw notBuilt('PauseJobs');
    },
    unpauseJobs: async () => {
      throw notBuilt('UnpauseJobs');
    },
    rerunJobs: async (request, { principal }) => ({
      jobs: await rerunJobs({ turns, lookup, submitter }, request, parseTargets(request.jobIds), principal),
    }),
    execJob: () => notBuiltStream('ExecJob'),
    attachJob: () => notBuiltStream('AttachJob'),
  };
}

function parseJobIds(texts: readonly string[]): JobIdBytes[] {
  return texts.map((text, at) => {
    const id = parseJobId(text);
    if (id === undefined) throw invalid(`job_ids[${at}]`, `must be a UUID, got "${text}"`);
    return id;
  });
}
