import type { HistoryRecord } from '../view.ts';
import { RecordReader, RecordWriter } from './codec.ts';
import { readAttempt, writeAttempt } from './ended-job.ts';

const VERSION = 1;
const out = new RecordWriter();

export function encodeHistory(record: HistoryRecord): Uint8Array {
  out.start(VERSION).raw(record.jobId).uint(record.number).text(record.account).text(record.user).text(record.queue);
  out.text(record.definition).uint(record.createdAtMs).uint(record.milliVcpu).uint(record.memoryBytes);
  out.byte((record.succeeded ? 1 : 0) | (record.final ? 2 : 0));
  writeAttempt(out, record);
  return out.uint(record.child + 1).finish();
}

export function decodeHistory(bytes: Uint8Array): HistoryRecord {
  const input = new RecordReader(bytes);
  input.version(VERSION);
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
  const child = input.uint() - 1;
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
