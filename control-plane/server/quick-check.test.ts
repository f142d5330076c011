import { create, type DescField, type DescMessage, type Message, ScalarType } from '@bufbuild/protobuf';
import {
  AdminService,
  AgentService,
  ComputeEnvironmentService,
  HistoryService,
  JobDefinitionService,
  JobQueueService,
  JobService,
  LogService,
  NodeService,
  SubmitJobRequestSchema,
  SubmitJobsRequestSchema,
} from '@galley/proto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { quickCheckOf } from './quick-check.ts';
import { violationsOf } from './validation.ts';

const SERVICES = [
  AdminService,
  AgentService,
  ComputeEnvironmentService,
  HistoryService,
  JobDefinitionService,
  JobQueueService,
  JobService,
  LogService,
  NodeService,
];
const REQUESTS = SERVICES.flatMap(({ methods }) => methods.map(({ input }) => input));

/** What stands on both sides of the limits in the contract. */
const TEXTS = [
  '',
  'a',
  'default',
  'a_B-9',
  '-a',
  'a b',
  'a\n',
  'é',
  '*',
  '1*',
  'name:3',
  'name:0',
  '\u{1f600}'.repeat(33),
]
  .concat(['00000000-0000-4000-8000-00000000000A', '00000000-0000-4000-8000-00000000000', 'DOMAIN\\user$'])
  .concat([16, 64, 65, 128, 129, 256, 257, 512, 1024, 1025].map((length) => 'x'.repeat(length)));
const NUMBERS = [-1, 0, 1, 2, 10, 11, 60, 999, 1000, 1001, 9999, 10_000, 86_400, 86_401, 4_194_304, 315_360_000];
const DEEPEST = 3;
/** Set in one message: more of them would hide behind the first that is wrong. */
const MOST_FIELDS = 4;

function scalar(type: ScalarType): fc.Arbitrary<unknown> {
  switch (type) {
    case ScalarType.STRING:
      return fc.constantFrom(...TEXTS);
    case ScalarType.BOOL:
      return fc.boolean();
    case ScalarType.BYTES:
      return fc.uint8Array({ maxLength: 20 });
    case ScalarType.INT64:
    case ScalarType.UINT64:
      return fc.constantFrom(...NUMBERS.map(BigInt), 10n ** 15n);
    case ScalarType.DOUBLE:
      return fc.constantFrom(...NUMBERS, 0.5, 16.5, Number.NaN);
    default:
      return fc.constantFrom(...NUMBERS);
  }
}

function single(field: DescField, depth: number): fc.Arbitrary<unknown> {
  if (field.message !== undefined) return messages(field.message, depth + 1);
  if (field.enum !== undefined) return fc.integer({ min: 0, max: field.enum.values.length + 1 });
  return scalar(field.scalar ?? ScalarType.STRING);
}

function present(field: DescField, depth: number): fc.Arbitrary<unknown> {
  const value = single(field, depth);
  if (field.fieldKind === 'list') return fc.array(value, { maxLength: 3 });
  if (field.fieldKind !== 'map') return value;
  const key = field.mapKey === ScalarType.STRING ? fc.constantFrom(...TEXTS) : fc.constantFrom('0', '7');
  return fc.dictionary(key, value, { maxKeys: 3 });
}

function messages(schema: DescMessage, depth = 0): fc.Arbitrary<Message> {
  const fields = schema.fields.filter((field) => depth < DEEPEST || field.message === undefined);
  return fc
    .subarray(fields, { maxLength: Math.min(MOST_FIELDS, fields.length) })
    .chain((chosen) => fc.tuple(...chosen.map((field) => fc.tuple(fc.constant(field), present(field, depth)))))
    .map((values) => {
      const init: Record<string, unknown> = {};
      for (const [field, value] of values) {
        if (field.oneof === undefined) init[field.localName] = value;
        else init[field.oneof.localName] = { case: field.localName, value };
      }
      return create(schema, init);
    });
}

describe('the quick check', () => {
  it('accepts nothing that the validator refuses', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...REQUESTS).chain((schema) => fc.tuple(fc.constant(schema), messages(schema))),
        ([schema, message]) => {
          if (quickCheckOf(schema)(message)) expect(violationsOf(schema, message)).toEqual([]);
        },
      ),
      { numRuns: 3_000 },
    );
  });

  it('accepts nothing near a job that the validator refuses', () => {
    const job = { jobId: '00000000-0000-4000-8000-000000000001', jobName: 'job' };
    fc.assert(
      fc.property(messages(SubmitJobRequestSchema), (message) => {
        Object.assign(message, job);
        if (quickCheckOf(SubmitJobRequestSchema)(message)) {
          expect(violationsOf<DescMessage>(SubmitJobRequestSchema, message)).toEqual([]);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('accepts jobs as clients send them, alone and many at once', () => {
    const job = create(SubmitJobRequestSchema, {
      jobId: '00000000-0000-4000-8000-000000000001',
      jobName: 'align',
      parameters: { sample: '7' },
      task: {
        command: ['align', '--sample', '7'],
        environment: { HOME: '/tmp' },
        resources: { milliVcpu: 500n, memoryBytes: 64n << 20n, named: [{ name: 'gpu', count: 1n }] },
        runAs: { user: 'alice' },
      },
      retryStrategy: { attempts: 3, evaluateOnExit: [{ onExitCode: '1*', action: 1 }] },
      timeout: { attemptDurationSeconds: 60n },
      dependsOn: [{ jobId: '00000000-0000-4000-8000-000000000002' }],
      tags: { team: 'genome' },
    });
    expect(quickCheckOf(SubmitJobRequestSchema)(job)).toBe(true);
    expect(quickCheckOf(SubmitJobsRequestSchema)(create(SubmitJobsRequestSchema, { jobs: [job, job] }))).toBe(true);
  });

  it('leaves to the validator what only it can judge', () => {
    const asks = REQUESTS.filter((schema) => !quickCheckOf(schema)(create(schema)));
    const refused = asks.filter((schema) => violationsOf(schema, create(schema)).length > 0);
    expect(refused.length).toBeGreaterThan(0);
  });
});
