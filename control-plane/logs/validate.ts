import { chunkLength, describeRef } from './admission.ts';
import {
  type AttemptRef,
  type LogChunk,
  LogStoreError,
  MAX_APPEND_BYTES,
  MAX_APPEND_CHUNKS,
  MAX_CHUNK_BYTES,
  MAX_REASON_BYTES,
  type StreamKind,
} from './log-store.ts';
import { STREAMS } from './record.ts';

const MAX_U16 = 0xffff;
/** Array indices and attempt numbers fit a signed 32-bit integer. */
const MAX_I32 = 0x7fffffff;
/** Stream offsets and lengths, bytes: one below the value that stands for "not reported" on disk. */
export const MAX_OFFSET = Number.MAX_SAFE_INTEGER - 1;

/** Throws `INVALID` with field, constraint and value. */
export function checkInteger(field: string, value: number, min: number, max: number): void {
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    throw new LogStoreError('INVALID', `${field}: must be an integer from ${min} to ${max}, got ${value}`);
  }
}

export function checkRef(ref: AttemptRef): void {
  checkInteger('jobNumber', ref.jobNumber, 1, MAX_OFFSET);
  checkInteger('childIndex', ref.childIndex, -1, MAX_I32 - 1);
  checkInteger('attempt', ref.attempt, 1, MAX_I32);
  checkInteger('task', ref.task ?? 0, 0, MAX_U16);
  checkInteger('container', ref.container ?? 0, 0, MAX_U16);
}

export function checkStream(stream: StreamKind): void {
  if (!STREAMS.includes(stream)) {
    throw new LogStoreError('INVALID', `stream: must be one of ${STREAMS.join(', ')}, got ${JSON.stringify(stream)}`);
  }
}

/** The bytes that the chunks bring. */
export function checkChunks(chunks: readonly LogChunk[]): number {
  checkInteger('chunks', chunks.length, 0, MAX_APPEND_CHUNKS);
  let bytes = 0;
  for (const [index, chunk] of chunks.entries()) {
    try {
      checkChunk(chunk);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      throw new LogStoreError('INVALID', `chunks[${index}] of ${describeRef(chunk.ref)}: ${message}`);
    }
    bytes += chunk.kind === 'data' ? chunk.data.length : 0;
  }
  checkInteger('bytes of chunks', bytes, 0, MAX_APPEND_BYTES);
  return bytes;
}

function checkChunk(chunk: LogChunk): void {
  checkRef(chunk.ref);
  checkStream(chunk.stream);
  checkInteger('offset', chunk.offset, 0, MAX_OFFSET);
  checkInteger('observedAtMs', chunk.observedAtMs, 0, Number.MAX_SAFE_INTEGER);
  if (chunk.kind === 'data') {
    checkInteger('data length', chunk.data.length, 0, MAX_CHUNK_BYTES);
  } else {
    checkInteger('gap length', chunk.length, 0, MAX_OFFSET);
    checkInteger('gap reason in bytes', Buffer.byteLength(chunk.reason), 0, MAX_REASON_BYTES);
  }
  checkInteger('end of chunk', chunk.offset + chunkLength(chunk), 0, MAX_OFFSET);
}
