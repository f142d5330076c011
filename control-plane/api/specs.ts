import { fromBinary } from '@bufbuild/protobuf';
import { BinaryReader } from '@bufbuild/protobuf/wire';
import { type SubmitJobRequest, SubmitJobRequestSchema } from '@galley/proto';
import { specKey } from '../core/records/index.ts';
import type { Store } from '../store/store.ts';

interface JobPlace {
  readonly account: string;
  readonly number: number;
}

/** Records that are read at a time for their names: each may have 256 KiB. */
const LABEL_SLICE_JOBS = 100;

/** The encoded requests that made these jobs, in the order asked; undefined where the job has been expired. */
export function readSpecBytes(store: Store, jobs: readonly JobPlace[]): Promise<(Uint8Array | undefined)[]> {
  return store.getMany(jobs.map(({ account, number }) => specKey(account, number)));
}

export async function readSpec(store: Store, job: JobPlace): Promise<SubmitJobRequest | undefined> {
  const [bytes] = await readSpecBytes(store, [job]);
  return bytes === undefined ? undefined : decodeSpec(bytes);
}

export function decodeSpec(bytes: Uint8Array): SubmitJobRequest {
  return fromBinary(SubmitJobRequestSchema, bytes);
}

/** What lists show of a request. Empty for a job that has been expired. */
export interface SpecLabels {
  readonly jobName: string;
  readonly project: string;
}

/** Reads those alone: a request is up to 256 KiB, and a list has a thousand rows. */
export async function readLabels(store: Store, jobs: readonly JobPlace[]): Promise<SpecLabels[]> {
  const labels: SpecLabels[] = [];
  for (let at = 0; at < jobs.length; at += LABEL_SLICE_JOBS) {
    const records = await readSpecBytes(store, jobs.slice(at, at + LABEL_SLICE_JOBS));
    for (const bytes of records) labels.push(labelsOf(bytes ?? NO_BYTES));
  }
  return labels;
}

const NO_BYTES = new Uint8Array();
const JOB_NAME = SubmitJobRequestSchema.field.jobName.number;
const PROJECT = SubmitJobRequestSchema.field.project.number;

/** Skips what is not asked for instead of decoding it. */
export function labelsOf(spec: Uint8Array): SpecLabels {
  const reader = new BinaryReader(spec);
  let [jobName, project] = ['', ''];
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === JOB_NAME) jobName = reader.string();
    else if (field === PROJECT) project = reader.string();
    else reader.skip(wireType, field);
  }
  return { jobName, project };
}
