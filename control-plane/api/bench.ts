import { randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { createValidator } from '@bufbuild/protovalidate';
import {
  JobDefinitionSchema,
  type SubmitJobRequest,
  SubmitJobRequestSchema,
  SubmitJobsRequestSchema,
} from '@galley/proto';
import { canonicalBatch, digestOf } from './canonical.ts';
import { createJobService } from './job-service.ts';
import { planJob } from './resolve.ts';
import { call, startCluster } from './testing/cluster.ts';
import { validateSubmit } from './validate.ts';

/**
 * Where the time of a submit goes, in µs a job, without network and disk: what each step of the way costs by itself, and
 * what handler, core and turn loop take together on a store in memory. Requests have about 1 KiB and distinct commands.
 * Usage: node control-plane/api/bench.ts [--json]
 */
const CALL_JOBS = 1_000;
/** The first rounds are for the compiler. */
const ROUNDS = 5;
const CALLS = 8;
const SINGLE_JOBS = 4_000;
const IN_FLIGHT = 64;

const filler = 'x'.repeat(130);

function request(index: number): SubmitJobRequest {
  const options = Array.from({ length: 6 }, (_, at) => `--option-${at}=${filler}${index}`);
  return create(SubmitJobRequestSchema, {
    jobId: randomUUID(),
    jobName: `job-${index}`,
    task: {
      command: ['/usr/bin/work', `/data/in/${index}`, ...options],
      environment: { MODE: 'fast', INDEX: `${index}` },
      resources: { milliVcpu: 500n, memoryBytes: 268_435_456n },
    },
    labels: { team: 'x' },
  });
}

function encodedCall(): Uint8Array {
  const jobs = Array.from({ length: CALL_JOBS }, (_, index) => request(index));
  return toBinary(SubmitJobsRequestSchema, create(SubmitJobsRequestSchema, { jobs }));
}

/** The best of the rounds: what the step costs when nobody disturbs. */
function best(step: () => void): number {
  const times = Array.from({ length: ROUNDS }, () => {
    const startMs = performance.now();
    step();
    return ((performance.now() - startMs) * 1000) / CALL_JOBS;
  });
  return Math.min(...times);
}

const bytes = encodedCall();
const { jobs } = fromBinary(SubmitJobsRequestSchema, bytes);
const message = create(SubmitJobsRequestSchema, { jobs });
const specs = canonicalBatch(jobs);
const definition = create(JobDefinitionSchema);
const validator = createValidator();
const figures: Record<string, number> = {
  'bytes a job': bytes.length / CALL_JOBS,
  decode: best(() => fromBinary(SubmitJobsRequestSchema, bytes)),
  'rules of the contract': best(() => validator.validate(SubmitJobsRequestSchema, message)),
  'semantic checks': best(() => jobs.forEach(validateSubmit)),
  'canonical encoding': best(() => canonicalBatch(jobs)),
  digest: best(() => specs.forEach(digestOf)),
  plan: best(() => jobs.forEach((job) => planJob(job, definition, 'ann'))),
};

const cluster = await startCluster();
try {
  const service = createJobService(cluster);
  const rounds: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const calls = Array.from({ length: CALLS }, () => fromBinary(SubmitJobsRequestSchema, encodedCall()));
    const startMs = performance.now();
    await Promise.all(calls.map((one) => service.submitJobs(one, call())));
    rounds.push(((performance.now() - startMs) * 1000) / (CALLS * CALL_JOBS));
  }
  figures['handler, core, loop; batched'] = Math.min(...rounds);
  const singles = Array.from({ length: SINGLE_JOBS }, (_, index) => request(index)).values();
  const startMs = performance.now();
  const caller = async (): Promise<void> => {
    for (const single of singles) await service.submitJob(single, call());
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, caller));
  figures[`handler, core, loop; single, ${IN_FLIGHT} in flight`] = ((performance.now() - startMs) * 1000) / SINGLE_JOBS;
} finally {
  await cluster.close();
}

const { json } = parseArgs({ options: { json: { type: 'boolean', default: false } } }).values;
if (json) console.log(JSON.stringify(figures));
else
  for (const [step, value] of Object.entries(figures)) console.log(`${step.padEnd(48)}${value.toFixed(2).padStart(9)}`);
