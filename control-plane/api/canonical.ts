import { hash } from 'node:crypto';
import { create, toBinary } from '@bufbuild/protobuf';
import { BinaryReader } from '@bufbuild/protobuf/wire';
import { type SubmitJobRequest, SubmitJobRequestSchema, SubmitJobsRequestSchema } from '@galley/proto';
import { assert } from '../core/assert.ts';

/** Bytes of a digest: half a SHA-256, which is more than chance or malice finds twice within what is kept. */
const DIGEST_BYTES = 16;

/**
 * The request as the job's record keeps it: encoded with every map in one order, so that two clients that mean the same
 * send the same. The maps of `request` are put in that order in place: it was decoded for this call.
 */
export function canonicalBytes(request: SubmitJobRequest): Uint8Array {
  return toBinary(SubmitJobRequestSchema, canonical(request));
}

/**
 * The same for all requests of a call, in their order. They are encoded as one message and cut out of it: growing a
 * buffer for each of them costs as much again as writing it.
 */
export function canonicalBatch(requests: SubmitJobRequest[]): Uint8Array[] {
  const jobs = requests.map(canonical);
  const bytes = toBinary(SubmitJobsRequestSchema, create(SubmitJobsRequestSchema, { jobs }));
  const reader = new BinaryReader(bytes);
  return jobs.map(() => {
    const [field] = reader.tag();
    assert(field === SubmitJobsRequestSchema.field.jobs.number, `field ${field} among the jobs of a call`);
    return reader.bytes();
  });
}

function canonical(request: SubmitJobRequest): SubmitJobRequest {
  request.parameters = ordered(request.parameters);
  request.tags = ordered(request.tags);
  request.labels = ordered(request.labels);
  if (request.task !== undefined) request.task.environment = ordered(request.task.environment);
  return request;
}

/** What tells two requests with the same id apart. */
export function digestOf(canonical: Uint8Array): Uint8Array {
  return hash('sha256', canonical, 'buffer').subarray(0, DIGEST_BYTES);
}

type StringMap = Record<string, string>;

/** The same map when its keys are in order already, which most are: there are few. */
function ordered(map: StringMap): StringMap {
  const keys = Object.keys(map);
  for (let at = 1; at < keys.length; at++) {
    if ((keys[at - 1] ?? '') > (keys[at] ?? ''))
      return Object.fromEntries(keys.sort().map((key) => [key, map[key] ?? '']));
  }
  return map;
}
