import { open } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { chunkLength, cutChunk } from './admission.ts';
import { type ChunkIndex, IndexDamage, type Located } from './chunk-index.ts';
import {
  type AttemptRef,
  GAP_DAMAGED,
  GAP_EXPIRED,
  type LogChunk,
  LogStoreError,
  MAX_READ_CHUNKS,
  MAX_TAIL_BYTES,
  type StreamKind,
} from './log-store.ts';
import { decodeHeader, HEADER_BYTES, RecordKind, STREAMS, streamIndex } from './record.ts';
import { readFully } from './scan.ts';
import { segmentPath } from './segments.ts';

/** Records that are apart by no more than this are read in one go. */
const COALESCE_BYTES = 16 * 1024;
const COALESCED_READ_BYTES = 2 * 1024 * 1024;
const NEWLINE = 10;
const EMPTY = new Uint8Array();

export interface StreamSource {
  readonly directory: string;
  readonly index: ChunkIndex;
  readonly ref: AttemptRef;
  readonly stream: StreamKind;
  /** Segments below this one were dropped. */
  readonly firstSegment: number;
  /** The index was rebuilt from all segments below this one: what it lacks there is not there. */
  readonly holesBefore: number;
}

/**
 * Contiguous chunks from `offset` until `end`, `maxBytes` of data or the bound on chunks. What is not there is a gap;
 * throws `IndexDamage` when it could still be in the segments.
 */
export async function readChunks(
  source: StreamSource,
  offset: number,
  end: number,
  maxBytes: number,
): Promise<LogChunk[]> {
  const chunks: LogChunk[] = [];
  let position = offset;
  let bytes = 0;
  const add = (chunk: LogChunk): void => {
    const room = chunk.kind === 'data' ? position + maxBytes - bytes : end;
    const cut = cutChunk(chunk, position, Math.min(end, room));
    chunks.push(cut);
    bytes += cut.kind === 'data' ? cut.data.length : 0;
    position = cut.offset + chunkLength(cut);
  };
  const fill = (to: number, segment: number, observedAtMs: number): void => {
    const expired = !before && source.firstSegment > 1;
    if (!expired && segment >= source.holesBefore) {
      throw new IndexDamage(`no entry for offset ${position} of ${source.stream} of job ${source.ref.jobNumber}`);
    }
    add(gap(source, position, to - position, expired ? GAP_EXPIRED : GAP_DAMAGED, observedAtMs));
  };
  const previous = await entryBefore(source, offset);
  const before = previous !== undefined;
  const from = previous && previous.offset + previous.length > offset ? previous.offset : offset;
  const range = { reverse: false, limit: MAX_READ_CHUNKS };
  let segment = previous?.segment ?? 0;
  for await (const entries of source.index.entries(source.ref, streamIndex(source.stream), from, end, range)) {
    for (const group of coalesce(entries, maxBytes - bytes)) {
      for (const chunk of await loadGroup(source, group)) {
        segment = group[0]?.segment ?? segment;
        if (chunk.offset > position) {
          fill(chunk.offset, segment, chunk.observedAtMs);
        }
        if (chunk.offset + chunkLength(chunk) > position) {
          add(chunk);
        }
        if (position >= end || bytes >= maxBytes || chunks.length >= MAX_READ_CHUNKS) {
          return chunks;
        }
      }
    }
  }
  if (position < end && chunks.length === 0) {
    fill(end, segment, 0);
  }
  return chunks;
}

async function entryBefore({ index, ref, stream }: StreamSource, offset: number): Promise<Located | undefined> {
  const range = { reverse: true, limit: 1 };
  for await (const [entry] of index.entries(ref, streamIndex(stream), 0, offset + 1, range)) {
    return entry;
  }
  return undefined;
}

function* coalesce(entries: readonly Located[], maxBytes: number): Generator<Located[]> {
  let group: Located[] = [];
  let bytes = 0;
  for (const entry of entries) {
    const first = group[0];
    const last = group.at(-1);
    const near =
      first &&
      last &&
      entry.segment === last.segment &&
      entry.position >= last.position &&
      entry.position - (last.position + last.size) <= COALESCE_BYTES &&
      entry.position + entry.size - first.position <= COALESCED_READ_BYTES &&
      bytes < maxBytes;
    if (!near && first) {
      yield group;
      group = [];
      bytes = 0;
    }
    group.push(entry);
    bytes += entry.size;
  }
  if (group.length > 0) {
    yield group;
  }
}

/** Reads the records of neighbouring entries of one segment. */
async function loadGroup(source: StreamSource, group: readonly Located[]): Promise<LogChunk[]> {
  const first = group[0];
  const last = group.at(-1);
  if (!first || !last) {
    return [];
  }
  const buffer = Buffer.allocUnsafe(last.position + last.size - first.position);
  let read = 0;
  try {
    const file = await open(segmentPath(source.directory, first.segment), 'r');
    try {
      read = await readFully(file, buffer, first.position, buffer.length);
    } finally {
      await file.close();
    }
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code !== 'ENOENT' && code !== 'EIO') {
      throw new LogStoreError('UNAVAILABLE', `segment ${first.segment} cannot be read: ${String(error)}`, {
        cause: error,
      });
    }
    const reason = code === 'ENOENT' && first.segment < source.firstSegment ? GAP_EXPIRED : GAP_DAMAGED;
    return group.map((entry) => gap(source, entry.offset, entry.length, reason, entry.observedAtMs));
  }
  const whole = buffer.subarray(0, read);
  return group.map((entry) => decodeRecord(source, entry, whole, entry.position - first.position));
}

function decodeRecord(source: StreamSource, entry: Located, buffer: Buffer, at: number): LogChunk {
  const header = decodeHeader(buffer, at, entry.segment, entry.position);
  const damaged = gap(source, entry.offset, entry.length, GAP_DAMAGED, entry.observedAtMs);
  if (!header) {
    return damaged;
  }
  const { offset } = entry;
  if (!sameRef(header.ref, source.ref) || STREAMS[header.stream] !== source.stream || header.offset !== offset) {
    throw new IndexDamage(`entry of ${entry.segment}/${entry.position} names another record`);
  }
  const body = buffer.subarray(at + HEADER_BYTES, at + HEADER_BYTES + header.bodyLength);
  if (body.length !== header.bodyLength || crc32(body) !== header.bodyCrc) {
    return damaged;
  }
  return header.kind === RecordKind.data
    ? { kind: 'data', ...place(source, offset, header.observedAtMs), data: body }
    : gap(source, offset, header.length, body.toString('utf8'), header.observedAtMs);
}

/** Where the last `bytes` of data or the last `lines` begin, looking back from `end` no further than `MAX_TAIL_BYTES`. */
export async function tailStart(
  source: StreamSource,
  end: number,
  last: { readonly bytes: number } | { readonly lines: number },
): Promise<number> {
  let start = end;
  let bytesLeft = 'bytes' in last ? Math.min(last.bytes, MAX_TAIL_BYTES) : MAX_TAIL_BYTES;
  let linesLeft = 'lines' in last ? last.lines : Number.POSITIVE_INFINITY;
  let atEnd = true;
  if (bytesLeft === 0 || linesLeft === 0) {
    return end;
  }
  const range = { reverse: true, limit: MAX_READ_CHUNKS };
  for await (const entries of source.index.entries(source.ref, streamIndex(source.stream), 0, end, range)) {
    for (const group of [...coalesce(entries.toReversed(), COALESCED_READ_BYTES)].reverse()) {
      for (const chunk of (await loadGroup(source, group)).reverse()) {
        start = chunk.offset;
        const { data } = chunk.kind === 'data' ? chunk : { data: EMPTY };
        for (let at = data.length - 1; at >= 0; at--) {
          // The newline that ends the stream begins no further line.
          if (data[at] === NEWLINE && !atEnd && --linesLeft === 0) {
            return chunk.offset + at + 1;
          }
          atEnd = false;
          if (--bytesLeft === 0) {
            return chunk.offset + at;
          }
        }
      }
    }
  }
  return start;
}

const sameRef = (a: AttemptRef, b: AttemptRef): boolean =>
  a.jobNumber === b.jobNumber &&
  a.childIndex === b.childIndex &&
  a.attempt === b.attempt &&
  (a.task ?? 0) === (b.task ?? 0) &&
  (a.container ?? 0) === (b.container ?? 0);

const place = ({ ref, stream }: StreamSource, offset: number, observedAtMs: number) => ({
  ref,
  stream,
  offset,
  observedAtMs,
});

const gap = (source: StreamSource, offset: number, length: number, reason: string, observedAtMs: number): LogChunk => ({
  kind: 'gap',
  ...place(source, offset, observedAtMs),
  length,
  reason,
});
