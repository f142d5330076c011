import type { JobIdBytes } from './types.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const HEX: string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** The 16 bytes of a UUID text, or undefined when it is none. */
export function parseJobId(text: string): JobIdBytes | undefined {
  return UUID.test(text) ? jobIdFromUuid(text) : undefined;
}

/** The 16 bytes of a text that is known to be a UUID. */
export function jobIdFromUuid(uuid: string): JobIdBytes {
  const bytes = new Uint8Array(16);
  let at = 0;
  for (let i = 0; i < 16; i++) {
    if (uuid.charCodeAt(at) === 0x2d) at++;
    bytes[i] = (nibble(uuid.charCodeAt(at)) << 4) | nibble(uuid.charCodeAt(at + 1));
    at += 2;
  }
  return bytes;
}

function nibble(code: number): number {
  return code < 0x3a ? code - 0x30 : (code | 0x20) - 0x57;
}

/** The lower-case UUID text of 16 bytes. */
export function formatJobId(id: JobIdBytes): string {
  const hex = (from: number, to: number): string => {
    let text = '';
    for (let i = from; i < to; i++) text += HEX[id[i] ?? 0];
    return text;
  };
  return `${hex(0, 4)}-${hex(4, 6)}-${hex(6, 8)}-${hex(8, 10)}-${hex(10, 16)}`;
}

/** 32 hexadecimal digits. */
export function hexJobId(id: JobIdBytes): string {
  let text = '';
  for (const byte of id) text += HEX[byte];
  return text;
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
