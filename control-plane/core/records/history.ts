import type { HistoryRecord } from '../view.ts';
import { RecordReader, RecordWriter } from './codec.ts';
import { readAttempt, writeAttempt } from './ended-job.ts';

/** 2: a child of an array. */
const VERSION = 2;
const out = new RecordWriter();

export function encodeHistory(record: HistoryRecord): Uint8Array {
  out
    .start(record.child < 0 ? 1 : VERSION)
    .raw(record.jobId)
    .uint(record.number)
    .text(record.account)
    .text(record.user)
    .text(record.queue);
  out.text(record.definition).uint(record.createdAtMs).uint(record.milliVcpu).uint(record.memoryBytes);
  out.byte((record.succeeded ? 1 : 0) | (record.final ? 2 : 0));
  writeAttempt(out, record);
  if (record.child >= 0) out.uint(record.child);
  return out.finish();
}

export function decodeHistory(bytes: Uint8Array): HistoryRecord {
  const input = new RecordReader(bytes);
  const version = input.version(1, VERSION);
  const jobId = input.raw(16);
  const number = input.uint();
  const account = input.text();
  const user = input.text();
  const queue = input.text();
  const definition = input.text();
  const createdAtMs = input.uint();
  const milliVcpu = input.uint();
  const memoryBytes = input.uint();
  const flags = input.byte();
  const succeeded = (flags & 1) !== 0;
  const final = (flags & 2) !== 0;
  const attempt = readAttempt(input);
  const child = version === 1 ? -1 : input.uint();
  return {
    jobId,
    child,
    number,
    account,
    user,
    queue,
    definition,
    createdAtMs,
    milliVcpu,
    memoryBytes,
    succeeded,
    final,
    ...attempt,
  };
}
