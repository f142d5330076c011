import { create, toBinary } from '@bufbuild/protobuf';
import { SubmitJobRequestSchema, SubmitJobsRequestSchema } from '@galley/proto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { splitIntoBatches, tooLargeToSend } from './submit-batches.ts';

test('batches keep every job in order and stay within the limits', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 300 }), { maxLength: 60 }),
      fc.record({ jobs: fc.integer({ min: 1, max: 8 }), bytes: fc.integer({ min: 2_000, max: 4_000 }) }),
      fc.dictionary(fc.string({ unit: 'binary', maxLength: 5 }), fc.string({ unit: 'binary', maxLength: 30 }), {
        maxKeys: 8,
      }),
      (lengths, limits, environment) => {
        const jobs = lengths.map((length, index) =>
          create(SubmitJobRequestSchema, {
            jobId: String(index),
            comment: 'x'.repeat(length),
            task: { command: Object.values(environment), environment, stopGraceSeconds: 0, resources: { pids: -1 } },
          }),
        );
        const batches = splitIntoBatches(jobs, limits);
        expect(batches.flat()).toEqual(jobs);
        for (const batch of batches) {
          expect(batch.length).toBeGreaterThan(0);
          expect(batch.length).toBeLessThanOrEqual(limits.jobs);
          const encoded = toBinary(SubmitJobsRequestSchema, create(SubmitJobsRequestSchema, { jobs: batch }));
          expect(encoded.byteLength).toBeLessThanOrEqual(limits.bytes);
        }
      },
    ),
  );
});

test('a job that is too large by itself goes alone, and the server says so', () => {
  const jobs = [10, 5_000, 10].map((length) => create(SubmitJobRequestSchema, { comment: 'x'.repeat(length) }));
  expect(splitIntoBatches(jobs, { jobs: 10, bytes: 1_000 }).map((batch) => batch.length)).toEqual([1, 1, 1]);
});

test('a job for which no call has room is refused as the server would, and nothing else is', () => {
  const job = (length: number) => create(SubmitJobRequestSchema, { task: { command: ['echo', 'x'.repeat(length)] } });
  expect(tooLargeToSend(job(10 * 1024 * 1024))).toMatchObject({
    code: 'INVALID_ARGUMENT',
    violations: [
      { field: 'task.command', description: expect.stringMatching(/^a job has at most 262144 bytes, got 104857\d\d$/) },
    ],
  });
  expect(tooLargeToSend(job(300_000))).toBeUndefined();
  const small = create(SubmitJobRequestSchema, { task: { command: Array.from({ length: 80_000 }, () => 'x') } });
  expect(tooLargeToSend(small)).toBeUndefined();
});
