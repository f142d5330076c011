import { create, fromBinary } from '@bufbuild/protobuf';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import {
  type SubmitJobRequest,
  SubmitJobRequestSchema,
  type SubmitJobsRequest,
  SubmitJobsRequestSchema,
  SubmitMode,
} from '@galley/proto';
import { ApiError } from './errors.ts';

/** Jobs of one call; as in the contract. */
export const MAX_CALL_JOBS = 5_000;

/**
 * The jobs of one call, handed out piece by piece. A call has up to 4 MiB of them: decoded all at once they hold up
 * everybody else, and they are still there when the garbage collector looks, which then copies them about.
 */
export interface JobSource {
  readonly count: number;
  /** Jobs `from` to `to`, the latter not included, within the count. */
  piece(from: number, to: number): SubmitJobRequest[];
}

/** Jobs that are decoded already. */
export function decodedJobs(jobs: readonly SubmitJobRequest[]): JobSource {
  return { count: jobs.length, piece: (from, to) => jobs.slice(from, to) };
}

/** A SubmitJobsRequest of which only the frame is decoded. */
export interface EncodedSubmitJobs extends JobSource {
  readonly mode: SubmitMode;
  /** All of it, decoded. */
  whole(): SubmitJobsRequest;
}

const { mode: MODE, jobs: JOBS } = SubmitJobsRequestSchema.field;

/** Takes the frame apart. Throws ApiError, here or for a piece, when the bytes are no such message. */
export function encodedJobs(encoded: Uint8Array): EncodedSubmitJobs {
  const { mode, jobs, count } = decoded(() => frame(encoded));
  const piece = (from: number, to: number) =>
    jobs.slice(from, to).map((bytes) => decoded(() => fromBinary(SubmitJobRequestSchema, bytes)));
  return { mode, count, piece, whole: () => create(SubmitJobsRequestSchema, { mode, jobs: piece(0, jobs.length) }) };
}

function decoded<T>(decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    throw new ApiError('INVALID_ARGUMENT', `the request is not an encoded ${SubmitJobsRequestSchema.typeName}`, {
      cause: error,
    });
  }
}

function frame(encoded: Uint8Array) {
  const reader = new BinaryReader(encoded);
  const jobs: Uint8Array[] = [];
  let mode: SubmitMode = SubmitMode.UNSPECIFIED;
  let count = 0;
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === JOBS.number && wireType === WireType.LengthDelimited) {
      const bytes = reader.bytes();
      // More of them are refused, and only counted until then.
      if (++count <= MAX_CALL_JOBS) jobs.push(bytes);
    } else if (field === MODE.number && wireType === WireType.Varint) {
      mode = reader.int32() as SubmitMode;
    } else {
      reader.skip(wireType, field);
    }
  }
  return { mode, jobs, count };
}

/** A source whose jobs are looked at when they are handed out: `check` throws for one that cannot be taken. */
export function checkedJobs(source: JobSource, check: (job: SubmitJobRequest) => void): JobSource {
  return {
    count: source.count,
    piece(from, to) {
      const jobs = source.piece(from, to);
      jobs.forEach(check);
      return jobs;
    },
  };
}
