import { create } from '@bufbuild/protobuf';
import {
  EndCause,
  JobState,
  JobSummarySchema,
  LogChunkSchema,
  SubmitJobRequestSchema,
  SubscribeEventsResponseSchema,
} from '@galley/proto';
import { expect, test } from 'vitest';
import { toPlain } from './plain.ts';

test('numbers for int64, names for enums, nothing for what is not there', () => {
  const message = create(JobSummarySchema, {
    jobId: 'x',
    number: 12n,
    state: JobState.FAILED,
    cause: EndCause.OUT_OF_MEMORY,
    createdAtMs: 5n,
    exitCode: 0,
    resources: { milliVcpu: 250n, named: [{ name: 'gpu', count: 2n }] },
  });
  const plain = toPlain(JobSummarySchema, message);
  expect(plain).toMatchObject({
    number: 12,
    state: 'FAILED',
    cause: 'OUT_OF_MEMORY',
    createdAtMs: 5,
    exitCode: 0,
    resources: { milliVcpu: 250, named: [{ name: 'gpu', count: 2 }] },
    held: false,
    attempts: 0,
  });
  for (const absent of ['startedAtMs', 'signal', 'array', '$typeName']) expect(plain).not.toHaveProperty(absent);
  expect(() => JSON.stringify(plain)).not.toThrow();
});

test('maps, bytes and the chosen member of a oneof', () => {
  const request = create(SubmitJobRequestSchema, { tags: { a: '1' }, task: { environment: { B: '2' } } });
  expect(toPlain(SubmitJobRequestSchema, request)).toMatchObject({
    tags: { a: '1' },
    task: { environment: { B: '2' } },
  });
  const chunk = toPlain(LogChunkSchema, create(LogChunkSchema, { data: Buffer.from('hi') }));
  expect(Buffer.from(chunk.data).toString()).toBe('hi');
  const event = create(SubscribeEventsResponseSchema, {
    events: [{ atMs: 1n, event: { case: 'node', value: { node: 'n1', state: 2 } } }],
  });
  expect(toPlain(SubscribeEventsResponseSchema, event).events[0]).toEqual({
    atMs: 1,
    node: { node: 'n1', state: 'READY', reason: '' },
  });
});

test('a value of a later version of the contract is shown as such', () => {
  const message = create(JobSummarySchema, { state: 99 as JobState });
  expect(toPlain(JobSummarySchema, message).state).toBe('UNKNOWN_99');
});

test('a number that a double cannot hold is an error, not another number', () => {
  const message = create(JobSummarySchema, { number: 2n ** 60n });
  expect(() => toPlain(JobSummarySchema, message)).toThrow(RangeError);
});
