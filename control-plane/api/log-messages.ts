import { create } from '@bufbuild/protobuf';
import { type LogChunk as LogChunkMessage, LogChunkSchema, LogStream } from '@galley/proto';
import { assertNever } from '../core/assert.ts';
import type { LogChunk, StreamKind } from '../logs/log-store.ts';

export function toLogStream(kind: StreamKind): LogStream {
  switch (kind) {
    case 'output':
      return LogStream.OUTPUT;
    case 'stdout':
      return LogStream.STDOUT;
    case 'stderr':
      return LogStream.STDERR;
    default:
      return assertNever(kind);
  }
}

export function toLogChunk(chunk: LogChunk): LogChunkMessage {
  const message = create(LogChunkSchema, {
    stream: toLogStream(chunk.stream),
    offset: BigInt(chunk.offset),
    observedAtMs: BigInt(chunk.observedAtMs),
  });
  if (chunk.kind === 'data') {
    message.data = asPlainBytes(chunk.data);
  } else {
    message.gapLength = BigInt(chunk.length);
    message.gapReason = chunk.reason;
  }
  return message;
}

/** The message type wants bytes whose buffer is no SharedArrayBuffer; the log store's never is. */
function asPlainBytes(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer
    ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    : new Uint8Array(bytes);
}
