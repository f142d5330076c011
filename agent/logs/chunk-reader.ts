import { open } from 'node:fs/promises';
import { create } from '@bufbuild/protobuf';
import { type LogChunk, LogChunkSchema } from '@galley/proto';
import type { OutputStream } from './log-stream.ts';
import { FLOOD_REASON, GONE_REASON } from './policy.ts';

/** Bytes of one chunk. */
export const CHUNK_BYTES = 256 * 1024;
/** A job under rate control ships in pieces of at least this size, not byte by byte. */
const LEAST_ALLOWANCE_BYTES = 16 * 1024;

/** The next piece of a stream. `slow`: it may send more only later. */
export type NextChunk =
  | { readonly kind: 'chunk'; readonly chunk: LogChunk; readonly bytes: number; readonly paid: boolean }
  | { readonly kind: 'nothing' }
  | { readonly kind: 'slow' };

/** Reads the next chunk from the file, or says that bytes are missing. Does not move the stream's position. */
export async function readChunk(stream: OutputStream): Promise<NextChunk> {
  const gap = stream.gapHere;
  if (gap > 0) return gapChunk(stream, gap, FLOOD_REASON);
  const from = stream.sent;
  const available = stream.readableTo - from;
  if (available <= 0) return { kind: 'nothing' };
  const allowance = stream.allowance();
  if (allowance < Math.min(LEAST_ALLOWANCE_BYTES, available)) return { kind: 'slow' };
  const wanted = Math.min(available, CHUNK_BYTES, allowance);
  const data = await readAt(stream.path, from, wanted);
  // The middle may have given way while the file was read; what was read then may be zeros.
  if (stream.gapHere > 0) return gapChunk(stream, stream.gapHere, FLOOD_REASON);
  if (data.byteLength === 0) {
    return stream.final === undefined ? { kind: 'nothing' } : gapChunk(stream, available, GONE_REASON);
  }
  const chunk = create(LogChunkSchema, {
    stream: stream.stream,
    offset: BigInt(from),
    observedAtMs: BigInt(Date.now()),
    data,
  });
  return { kind: 'chunk', chunk, bytes: data.byteLength, paid: true };
}

function gapChunk(stream: OutputStream, length: number, reason: string): NextChunk {
  const chunk = create(LogChunkSchema, {
    stream: stream.stream,
    offset: BigInt(stream.sent),
    observedAtMs: BigInt(Date.now()),
    gapLength: BigInt(length),
    gapReason: reason,
  });
  return { kind: 'chunk', chunk, bytes: length, paid: false };
}

/** Nothing when the file cannot be read. */
async function readAt(path: string, from: number, length: number): Promise<Uint8Array> {
  try {
    const handle = await open(path, 'r');
    try {
      const buffer = Buffer.allocUnsafeSlow(length);
      const { bytesRead } = await handle.read(buffer, 0, length, from);
      return buffer.subarray(0, bytesRead);
    } finally {
      await handle.close();
    }
  } catch {
    return new Uint8Array();
  }
}
