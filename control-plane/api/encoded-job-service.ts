import {
  type JobService,
  type SubmitJobRequest,
  SubmitJobRequestSchema,
  SubmitJobsRequestSchema,
  SubmitMode,
} from '@galley/proto';
import type { EncodedHandlers, RulesCheck } from '../server/handler.ts';
import { DefinitionCache } from './definitions.ts';
import { EndedFacts } from './ended-facts.ts';
import { ApiError, invalid } from './errors.ts';
import { JobLookup } from './job-lookup.ts';
import { checkedJobs, type EncodedSubmitJobs, encodedJobs, MAX_CALL_JOBS } from './job-source.ts';
import type { ApiParts } from './parts.ts';
import { Submitter } from './submit.ts';

/** The methods of JobService whose requests are too large to be decoded in one go. */
export function createEncodedJobService({ turns }: Pick<ApiParts, 'turns'>): EncodedHandlers<typeof JobService> {
  const lookup = new JobLookup(turns);
  const submitter = new Submitter({
    turns,
    definitions: new DefinitionCache(),
    lookup,
    facts: new EndedFacts(turns),
  });
  return {
    submitJobs: async (encoded, { principal }, check) => {
      const call = encodedJobs(encoded);
      if (call.count > MAX_CALL_JOBS) throw invalid('jobs', `at most ${MAX_CALL_JOBS} items, got ${call.count} items`);
      if (call.count === 0) throw refusal(call, check);
      const jobs = checkedJobs(call, (job: SubmitJobRequest) => {
        if (check(SubmitJobRequestSchema, job) !== undefined) throw refusal(call, check);
      });
      const atomic = call.mode === SubmitMode.ATOMIC;
      return {
        results: await (atomic ? submitter.submitAtomic(jobs, principal) : submitter.submitEach(jobs, principal)),
      };
    },
  };
}

/** Where something is wrong, the call is judged as a whole: it gets the answer that it gets when it comes decoded. */
function refusal(call: EncodedSubmitJobs, check: RulesCheck): ApiError {
  const { message = 'it breaks a rule of the contract', violations = [] } =
    check(SubmitJobsRequestSchema, call.whole()) ?? {};
  return new ApiError('INVALID_ARGUMENT', message, { violations });
}
