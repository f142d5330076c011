import { create } from '@bufbuild/protobuf';
import { ListJobsRequestSchema, SubmitJobsRequestSchema } from '@galley/proto';
import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { statusParts } from './errors.ts';
import { createJobService } from './job-service.ts';
import { call, jobRequest, startCluster, type TestCluster } from './testing/cluster.ts';

let cluster: TestCluster;
/** Commits that are still to fail. */
let failing: number;
beforeEach(async () => {
  failing = 0;
  cluster = await startCluster(async () => {
    if (failing > 0) {
      failing--;
      throw new Error('the disk said no');
    }
  });
});
afterEach(() => cluster.close());

const rebuilt = () =>
  new Promise<void>((resolve) => {
    const stop = cluster.turns.listen({
      rebuilt: () => {
        stop();
        resolve();
      },
    });
  });

describe('a submit whose commit fails', () => {
  it('is of unknown outcome, and asked again makes the job once', async () => {
    const service = createJobService(cluster);
    const request = jobRequest();
    failing = 1;
    const again = rebuilt();
    const error: unknown = await service.submitJob(request, call()).catch((reason: unknown) => reason);
    expect(statusParts(error)).toMatchObject({ code: status.UNAVAILABLE, reason: 'OUTCOME_UNKNOWN' });
    await again;
    const { number } = await service.submitJob({ ...request }, call());
    expect(await service.submitJob({ ...request }, call())).toMatchObject({ number, existed: true });
    const { jobs } = await service.listJobs(create(ListJobsRequestSchema), call());
    expect(jobs?.map(({ jobId }) => jobId)).toEqual([request.jobId]);
  });

  it('answers each job of a batch for itself', async () => {
    const service = createJobService(cluster);
    failing = 1;
    const again = rebuilt();
    const jobs = [jobRequest(), jobRequest({ jobQueue: 'nope' })];
    const { results = [] } = await service.submitJobs(create(SubmitJobsRequestSchema, { jobs }), call());
    const codes = results.map(({ result }) => (result?.case === 'error' ? result.value.code : 0));
    expect(codes).toEqual([status.UNAVAILABLE, status.UNAVAILABLE]);
    await again;
  });
});
