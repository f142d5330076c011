import { crc32 } from 'node:zlib';

/**
 * A file of records: each is a length (u32, little endian), the CRC-32 of the payload (u32) and the payload. What does not
 * match ends the file: a power cut may leave a torn record, and blocks after it that were never synced.
 */

export const FRAME_HEADER_BYTES = 8;
/** The largest payload of one record. A placement is at most 8 MiB, the bound of a message on the wire. */
export const MAX_PAYLOAD_BYTES = 8 * 1024 * 1024;

/** Payloads as they stand in the file, one after the other. */
export function encodeFrames(payloads: readonly Uint8Array[]): Buffer {
  let length = 0;
  for (const payload of payloads) length += FRAME_HEADER_BYTES + payload.byteLength;
  const frames = Buffer.allocUnsafe(length);
  let at = 0;
  for (const payload of payloads) {
    if (payload.byteLength === 0 || payload.byteLength > MAX_PAYLOAD_BYTES) {
      throw new RangeError(`a record has 1 to ${MAX_PAYLOAD_BYTES} bytes, not ${payload.byteLength}`);
    }
    frames.writeUInt32LE(payload.byteLength, at);
    frames.writeUInt32LE(crc32(payload), at + 4);
    frames.set(payload, at + FRAME_HEADER_BYTES);
    at += FRAME_HEADER_BYTES + payload.byteLength;
  }
  return frames;
}

export interface ScannedFrames {
  readonly payloads: readonly Uint8Array[];
  /** Where the last whole record ends; bytes behind it are not part of the history. */
  readonly goodBytes: number;
}

/** Every whole record from the beginning. An empty or zeroed stretch is an end too: no payload is empty. */
export function scanFrames(bytes: Buffer): ScannedFrames {
  const payloads: Uint8Array[] = [];
  let at = 0;
  while (at + FRAME_HEADER_BYTES <= bytes.length) {
    const length = bytes.readUInt32LE(at);
    const end = at + FRAME_HEADER_BYTES + length;
    if (length === 0 || length > MAX_PAYLOAD_BYTES || end > bytes.length) break;
    const payload = bytes.subarray(at + FRAME_HEADER_BYTES, end);
    if (crc32(payload) !== bytes.readUInt32LE(at + 4)) break;
    payloads.push(payload);
    at = end;
  }
  return { payloads, goodBytes: at };
}
