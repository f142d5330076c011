import type { FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { MAX_CHUNK_BYTES } from './log-store.ts';
import { decodeHeader, HEADER_BYTES, MAGIC, type RecordHeader } from './record.ts';

/** What stands in a segment: records, and between them bytes that are none. */
export type Scanned =
  | {
      readonly kind: 'record';
      readonly position: number;
      readonly size: number;
      readonly header: RecordHeader;
      /** False when the body does not match its checksum. */
      readonly whole: boolean;
      /** A view that is valid until the next page. */
      readonly body: Buffer;
    }
  | { readonly kind: 'damage'; readonly position: number; readonly length: number };

/** Must hold the largest record. */
const WINDOW_BYTES = 4 * 1024 * 1024;
export const MAX_RECORD_BYTES = HEADER_BYTES + MAX_CHUNK_BYTES;

/**
 * Reads a segment from `from` (where a record starts) to `to`, in pages. After bytes that are no record it looks for the next
 * valid header, so damage costs what it touched and nothing behind it.
 */
export async function* scanSegment(
  file: FileHandle,
  segment: number,
  from: number,
  to: number,
): AsyncGenerator<Scanned[]> {
  const window = Buffer.allocUnsafe(Math.min(WINDOW_BYTES, Math.max(0, to - from)));
  let position = from;
  while (position < to) {
    const view = window.subarray(0, await readFully(file, window, position, to - position));
    if (view.length === 0) {
      return;
    }
    const last = position + view.length >= to || view.length < window.length;
    const page: Scanned[] = [];
    const used = scanWindow(view, segment, position, last, page);
    yield page;
    position += used;
  }
}

/** Returns how many bytes of the window are dealt with; what is left starts with a record that needs more bytes. */
function scanWindow(view: Buffer, segment: number, base: number, last: boolean, page: Scanned[]): number {
  let at = 0;
  while (at < view.length) {
    const left = view.length - at;
    if (left < HEADER_BYTES && !last) {
      break;
    }
    const header = decodeHeader(view, at, segment, base + at);
    const size = HEADER_BYTES + (header?.bodyLength ?? 0);
    if (header && size <= left) {
      const body = view.subarray(at + HEADER_BYTES, at + size);
      page.push({ kind: 'record', position: base + at, size, header, body, whole: crc32(body) === header.bodyCrc });
      at += size;
      continue;
    }
    if (header && size <= MAX_RECORD_BYTES && !last) {
      break;
    }
    const next = findHeader(view, at + 1, segment, base) ?? (last ? view.length : view.length - HEADER_BYTES + 1);
    page.push({ kind: 'damage', position: base + at, length: next - at });
    at = next;
  }
  return at;
}

function findHeader(view: Buffer, from: number, segment: number, base: number): number | undefined {
  for (let at = view.indexOf(MAGIC, from); at !== -1; at = view.indexOf(MAGIC, at + 1)) {
    if (decodeHeader(view, at, segment, base + at)) {
      return at;
    }
  }
  return undefined;
}

/** Fills `target` from `position`, up to `length` bytes or the end of the file; the bytes read. */
export async function readFully(file: FileHandle, target: Buffer, position: number, length: number): Promise<number> {
  const wanted = Math.min(target.length, length);
  let done = 0;
  while (done < wanted) {
    const { bytesRead } = await file.read(target, done, wanted - done, position + done);
    if (bytesRead === 0) {
      break;
    }
    done += bytesRead;
  }
  return done;
}
