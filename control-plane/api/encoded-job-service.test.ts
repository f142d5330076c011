import { create, toBinary } from '@bufbuild/protobuf';
import { type SubmitJobRequest, SubmitJobsRequestSchema, SubmitMode } from '@galley/proto';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RulesCheck } from '../server/handler.ts';
import { invalidRequest } from '../server/validation.ts';
import { createEncodedJobService } from './encoded-job-service.ts';
import { statusParts } from './errors.ts';
import { createJobService } from './job-service.ts';
import { encodedJobs, MAX_CALL_JOBS } from './job-source.ts';
import { call, jobRequest, startCluster, type TestCluster } from './testing/cluster.ts';

let cluster: TestCluster;
beforeEach(async () => {
  cluster = await startCluster();
});
afterEach(() => cluster.close());

const check: RulesCheck = (schema, message) => invalidRequest(schema, message);

function encode(jobs: SubmitJobRequest[], mode: SubmitMode = SubmitMode.EACH): Uint8Array {
  return toBinary(SubmitJobsRequestSchema, create(SubmitJobsRequestSchema, { mode, jobs }));
}

async function submit(encoded: Uint8Array) {
  const { submitJobs } = createEncodedJobService(cluster);
  if (submitJobs === undefined) throw new Error('no such method');
  const { results = [] } = await submitJobs(encoded, call(), check);
  return results;
}

const refusalOf = (answer: Promise<unknown>) =>
  answer.then(
    () => undefined,
    (error: unknown) => statusParts(error),
  );

describe('a call whose jobs come encoded', () => {
  it('gets the answers that it gets decoded, the second time as the first', async () => {
    const jobs = Array.from({ length: 250 }, (_, at) => jobRequest({ jobName: `job-${at}` }));
    jobs[120] = jobRequest({ jobQueue: 'nope' });
    const encoded = encode(jobs);
    const first = await submit(encoded);
    const request = create(SubmitJobsRequestSchema, { jobs });
    const { results: decoded = [] } = await createJobService(cluster).submitJobs(request, call());
    const second = await submit(encoded);
    for (const [at, { result }] of first.entries()) {
      expect(result?.case).toBe(at === 120 ? 'error' : 'job');
      if (result?.case !== 'job') continue;
      expect(result.value).toMatchObject({ jobId: jobs[at]?.jobId, jobName: `job-${at}`, existed: false });
      const { number } = result.value;
      for (const again of [decoded, second]) {
        expect(again[at]?.result).toMatchObject({ case: 'job', value: { number, existed: true } });
      }
    }
  });

  it('is atomic when it says so', async () => {
    const bad = encode([jobRequest(), jobRequest({ jobQueue: 'nope' })], SubmitMode.ATOMIC);
    expect(await refusalOf(submit(bad))).toMatchObject({ message: expect.stringContaining('nope') });
    expect(cluster.turns.view.status().liveJobs.reduce((sum, count) => sum + count, 0)).toBe(0);
    expect(await submit(encode([jobRequest(), jobRequest()], SubmitMode.ATOMIC))).toHaveLength(2);
  });

  it('is refused whole for a job that breaks a rule, in the words of the decoded call', async () => {
    const jobs = [...Array.from({ length: 150 }, () => jobRequest()), jobRequest({ jobName: 'not a name' })];
    const expected = invalidRequest(SubmitJobsRequestSchema, create(SubmitJobsRequestSchema, { jobs }));
    expect(expected?.message).toContain('jobs[150].job_name');
    expect(await refusalOf(submit(encode(jobs)))).toMatchObject(expected ?? {});
    expect(cluster.turns.view.status().liveJobs.reduce((sum, count) => sum + count, 0)).toBe(0);
  });

  it('is refused when it is empty, holds too many jobs, or is no such message', async () => {
    expect((await refusalOf(submit(new Uint8Array())))?.message).toMatch(/^jobs: .*got 0 items/);
    const tooMany = encode(Array.from({ length: MAX_CALL_JOBS + 1 }, () => jobRequest()));
    expect((await refusalOf(submit(tooMany)))?.message).toBe('jobs: at most 5000 items, got 5001 items');
    expect((await refusalOf(submit(Uint8Array.of(18, 200, 1))))?.message).toMatch(/not an encoded/);
    expect((await refusalOf(submit(Uint8Array.of(18, 2, 10, 9))))?.message).toMatch(/not an encoded/);
  });
});

it('jobs handed out piece by piece are the jobs of the call', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ jobName: fc.string(), comment: fc.string() }), { maxLength: 30 }),
      fc.constantFrom(SubmitMode.UNSPECIFIED, SubmitMode.EACH, SubmitMode.ATOMIC),
      fc.integer({ min: 1, max: 7 }),
      (inits, mode, step) => {
        const request = create(SubmitJobsRequestSchema, { mode, jobs: inits.map((init) => jobRequest(init)) });
        const source = encodedJobs(toBinary(SubmitJobsRequestSchema, request));
        const pieces: SubmitJobRequest[] = [];
        for (let from = 0; from < source.count; from += step) {
          pieces.push(...source.piece(from, Math.min(from + step, source.count)));
        }
        expect(pieces).toEqual(request.jobs);
        expect(source.whole()).toEqual(request);
      },
    ),
    { numRuns: 100 },
  );
});
