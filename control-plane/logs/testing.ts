import { chunkLength } from './admission.ts';
import type { AttemptRef, DataChunk, GapChunk, LogChunk } from './log-store.ts';

/** Builders and readers for tests of the log store. */
export const refOf = (jobNumber: number, childIndex = -1, attempt = 1): AttemptRef => ({
  jobNumber,
  childIndex,
  attempt,
});

export const chunk = (ref: AttemptRef, offset: number, text: string, observedAtMs = 1000): DataChunk => ({
  kind: 'data',
  ref,
  stream: 'output',
  offset,
  observedAtMs,
  data: Buffer.from(text),
});

export const gap = (ref: AttemptRef, offset: number, length: number, reason: string): GapChunk => ({
  kind: 'gap',
  ref,
  stream: 'output',
  offset,
  observedAtMs: 1000,
  length,
  reason,
});

/** The text of contiguous chunks; a gap shows as its reason. Throws when they do not follow one another. */
export function textOf(chunks: readonly LogChunk[]): string {
  let text = '';
  let next = chunks[0]?.offset ?? 0;
  for (const one of chunks) {
    if (one.offset !== next) {
      throw new Error(`chunk at ${one.offset}, expected ${next}`);
    }
    text += one.kind === 'data' ? Buffer.from(one.data).toString('latin1') : `<${one.reason}>`;
    next += chunkLength(one);
  }
  return text;
}

export const bytesOf = (chunks: readonly LogChunk[]): number => chunks.reduce((sum, one) => sum + chunkLength(one), 0);

export async function collect(chunks: AsyncIterable<LogChunk>, into: LogChunk[] = []): Promise<LogChunk[]> {
  for await (const one of chunks) {
    into.push(one);
  }
  return into;
}
