import { crc32 } from 'node:zlib';
import { StoreError } from './store.ts';

/** Bytes that a sealed value is longer than the value. */
export const CHECKSUM_BYTES = 4;

/**
 * The value as it stands on disk: CRC-32 of key and value, then the value. The key is part of it because LevelDB could
 * hand a sound value to the wrong key (a damaged index block), and that must be noticed too.
 */
export function seal(key: Uint8Array, value: Uint8Array): Uint8Array {
  const sealed = Buffer.allocUnsafe(CHECKSUM_BYTES + value.byteLength);
  sealed.writeUInt32LE(crc32(value, crc32(key)), 0);
  sealed.set(value, CHECKSUM_BYTES);
  return sealed;
}

/** The value without its checksum, a view on `sealed`. Throws `CORRUPT` when the checksum does not match. */
export function unseal(key: Uint8Array, sealed: Uint8Array, where: string): Uint8Array {
  const value = sealed.subarray(CHECKSUM_BYTES);
  if (sealed.byteLength < CHECKSUM_BYTES || readUint32(sealed) !== crc32(value, crc32(key))) {
    throw new StoreError(
      'CORRUPT',
      `${where}: the record ${describeKey(key)} does not match its checksum. The disk returned other bytes than were ` +
        'written. Stop the control plane, check the disk, and restore a backup.',
    );
  }
  return value;
}

function readUint32(bytes: Uint8Array): number {
  const [a = 0, b = 0, c = 0, d = 0] = bytes;
  return (a | (b << 8) | (c << 16) | (d << 24)) >>> 0;
}

const DESCRIBED_KEY_BYTES = 80;

/** A key for a message: its bytes as hex, cut at 80. */
export function describeKey(key: Uint8Array): string {
  const hex = Buffer.from(key.buffer, key.byteOffset, Math.min(key.byteLength, DESCRIBED_KEY_BYTES)).toString('hex');
  return key.byteLength > DESCRIBED_KEY_BYTES ? `0x${hex}…` : `0x${hex}`;
}
