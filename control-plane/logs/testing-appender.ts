import { writeSync } from 'node:fs';
import type { LogChunk } from './log-store.ts';
import { SegmentLogStore } from './segment-log-store.ts';
import { refOf } from './testing.ts';

/**
 * The process that a test kills: appends to many jobs at once for as long as it lives and writes "job end" after each ack.
 * Usage: node testing-appender.ts <directory> <jobs>
 */
export const patternOf = (job: number, offset: number, length: number): Buffer =>
  Buffer.from(Uint8Array.from({ length }, (_, index) => (job * 31 + (offset + index) * 7) % 251));

async function appendForever(store: SegmentLogStore, job: number): Promise<never> {
  const ref = refOf(job);
  let known = (await store.lengths(ref)).output.known;
  for (let round = 0; ; round++) {
    // From before the known end now and then, as an agent does that was not told.
    const offset = Math.max(0, known - (round % 3) * 100);
    const length = 50 + ((job * 977 + round * 131) % 9000);
    const data = patternOf(job, offset, length);
    const chunk: LogChunk = { kind: 'data', ref, stream: 'output', offset, observedAtMs: 1, data };
    const { refused } = await store.append([chunk]);
    if (refused.length > 0) {
      throw new Error(refused[0]?.message);
    }
    known = Math.max(known, offset + length);
    writeSync(1, `${job} ${known}\n`);
  }
}

if (import.meta.main) {
  const [directory = '', jobs = '1'] = process.argv.slice(2);
  const store = await SegmentLogStore.open({ directory, segmentBytes: 256 * 1024, freeFloorBytes: 0 });
  await Promise.all(Array.from({ length: Number(jobs) }, (_, index) => appendForever(store, index + 1)));
}
