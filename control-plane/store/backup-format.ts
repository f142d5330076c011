import { crc32 } from 'node:zlib';
import type { Entry, Position } from './store.ts';
import { StoreError } from './store.ts';

/**
 * A backup file: `MAGIC`, then frames, each `length (4 bytes, little-endian) | CRC-32 (4 bytes) | payload`. The CRC of a
 * frame begins with the CRC of the frame before it, so that a frame left out, repeated or moved is noticed. The first
 * byte of a payload says what it is: a header (JSON), a page of entries (key length, value length, key, value, …), or the
 * trailer (JSON with the counts), after which the file ends. A file without its trailer is no backup.
 */
export const MAGIC: Uint8Array = new TextEncoder().encode('GALLEY BACKUP 1\n');

export const FRAME_HEAD_BYTES = 8;
const HEADER = 1;
const PAGE = 2;
const TRAILER = 3;
/** No page is larger: it has at most a page of a scan and the one entry that overshoots it. */
export const MAX_FRAME_BYTES = 16 * 1024 * 1024;

export interface BackupHeader {
  readonly clusterId: string;
  /** Everything up to here is in the backup, and perhaps the one batch after it. */
  readonly position: Position;
  readonly createdAtMs: number;
}

export interface BackupTrailer {
  readonly entries: number;
  /** Of keys and values. */
  readonly bytes: number;
}

export type Frame =
  | { readonly kind: 'header'; readonly header: BackupHeader }
  | { readonly kind: 'page'; readonly entries: Entry[] }
  | { readonly kind: 'trailer'; readonly trailer: BackupTrailer };

/** Makes frames, one after another. */
export class FrameEncoder {
  #crc = 0;

  header(header: BackupHeader): Uint8Array {
    return this.#frame(HEADER, Buffer.from(JSON.stringify(header)));
  }

  page(entries: readonly Entry[]): Uint8Array {
    const parts: Uint8Array[] = [];
    for (const { key, value } of entries) {
      const lengths = Buffer.allocUnsafe(8);
      lengths.writeUInt32LE(key.byteLength, 0);
      lengths.writeUInt32LE(value.byteLength, 4);
      parts.push(lengths, key, value);
    }
    return this.#frame(PAGE, Buffer.concat(parts));
  }

  trailer(trailer: BackupTrailer): Uint8Array {
    return this.#frame(TRAILER, Buffer.from(JSON.stringify(trailer)));
  }

  #frame(kind: number, content: Uint8Array): Uint8Array {
    const frame = Buffer.allocUnsafe(FRAME_HEAD_BYTES + 1 + content.byteLength);
    frame.writeUInt32LE(1 + content.byteLength, 0);
    frame[FRAME_HEAD_BYTES] = kind;
    frame.set(content, FRAME_HEAD_BYTES + 1);
    this.#crc = crc32(frame.subarray(FRAME_HEAD_BYTES), this.#crc);
    frame.writeUInt32LE(this.#crc, 4);
    return frame;
  }
}

/** Reads what `FrameEncoder` made, in the same order. */
export class FrameDecoder {
  readonly #path: string;
  #crc = 0;

  /** `path` names the file in errors. */
  constructor(path: string) {
    this.#path = path;
  }

  /** The length of the payload that follows this head. Throws `CORRUPT` when it cannot be. */
  payloadBytes(head: Buffer): number {
    const bytes = head.readUInt32LE(0);
    if (bytes < 1 || bytes > MAX_FRAME_BYTES) throw damaged(this.#path, `a frame of ${bytes} bytes`);
    return bytes;
  }

  /** Throws `CORRUPT` when the checksum does not match. */
  decode(head: Buffer, payload: Buffer): Frame {
    this.#crc = crc32(payload, this.#crc);
    if (head.readUInt32LE(4) !== this.#crc) throw damaged(this.#path, 'a frame does not match its checksum');
    const content = payload.subarray(1);
    // The checksum has shown that this is what was written, so it has the shape that was written.
    if (payload[0] === HEADER) return { kind: 'header', header: JSON.parse(content.toString()) as BackupHeader };
    if (payload[0] === TRAILER) return { kind: 'trailer', trailer: JSON.parse(content.toString()) as BackupTrailer };
    if (payload[0] === PAGE) return { kind: 'page', entries: decodePage(content) };
    throw damaged(this.#path, `a frame of kind ${payload[0]}`);
  }
}

function decodePage(content: Buffer): Entry[] {
  const entries: Entry[] = [];
  for (let offset = 0; offset < content.byteLength; ) {
    const keyEnd = offset + 8 + content.readUInt32LE(offset);
    const valueEnd = keyEnd + content.readUInt32LE(offset + 4);
    entries.push({ key: content.subarray(offset + 8, keyEnd), value: content.subarray(keyEnd, valueEnd) });
    offset = valueEnd;
  }
  return entries;
}

export function damaged(path: string, what: string): StoreError {
  return new StoreError(
    'CORRUPT',
    `${path} is not a whole backup: ${what}. Nothing was restored; take another backup.`,
  );
}
