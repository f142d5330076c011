// A compact byte codec for the records that the core writes by the hundred thousand. Each record begins with a version.

/** The longest record that the writer takes, in bytes. */
const MAX_RECORD_BYTES = 256 * 1024;

const scratch = new Uint8Array(MAX_RECORD_BYTES);
const scratchView = new DataView(scratch.buffer);
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Writes one record at a time into a shared buffer; `finish` copies it out. */
export class RecordWriter {
  private at = 0;

  start(version: number): this {
    this.at = 0;
    return this.byte(version);
  }

  byte(value: number): this {
    scratch[this.at++] = value;
    return this;
  }

  /** A whole number from 0 to 2^53 - 1: seven bits a byte, low bits first. */
  uint(value: number): this {
    let rest = value;
    while (rest >= 0x80) {
      scratch[this.at++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    scratch[this.at++] = rest;
    return this;
  }

  word(value: number): this {
    scratchView.setUint32(this.at, value);
    this.at += 4;
    return this;
  }

  /** A whole number that may be absent: 0 stands for absent. */
  optional(value: number | undefined): this {
    return value === undefined ? this.byte(0) : this.uint(value + 1);
  }

  text(value: string): this {
    // A length byte is guessed for short ASCII texts, which nearly all are, and the text is moved when it was wrong.
    const length = value.length < 0x80 ? encoder.encodeInto(value, scratch.subarray(this.at + 1)).written : 0x80;
    if (length < 0x80) {
      scratch[this.at] = length;
      this.at += 1 + length;
      return this;
    }
    return this.bytes(encoder.encode(value));
  }

  bytes(value: Uint8Array): this {
    this.uint(value.length);
    return this.raw(value);
  }

  raw(value: Uint8Array): this {
    scratch.set(value, this.at);
    this.at += value.length;
    return this;
  }

  finish(): Uint8Array {
    return scratch.slice(0, this.at);
  }
}

/** Reads what RecordWriter wrote, in the same order. A record that is too short throws a RangeError. */
export class RecordReader {
  private at = 0;
  private readonly record: Uint8Array;

  constructor(record: Uint8Array) {
    this.record = record;
  }

  /** Nothing is left to read. */
  get atEnd(): boolean {
    return this.at >= this.record.length;
  }

  byte(): number {
    const value = this.record[this.at++];
    if (value === undefined) throw new RangeError('record is too short');
    return value;
  }

  /** Checks the version that every record begins with. */
  version(...known: number[]): number {
    const version = this.byte();
    if (!known.includes(version))
      throw new RangeError(`record has version ${version}; this program knows ${known.join(', ')}`);
    return version;
  }

  uint(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
  }

  word(): number {
    return ((this.byte() << 24) | (this.byte() << 16) | (this.byte() << 8) | this.byte()) >>> 0;
  }

  optional(): number | undefined {
    const value = this.uint();
    return value === 0 ? undefined : value - 1;
  }

  text(): string {
    const bytes = this.bytes();
    let text = '';
    for (const byte of bytes) {
      if (byte >= 0x80) return decoder.decode(bytes);
      text += String.fromCharCode(byte);
    }
    return text;
  }

  bytes(): Uint8Array {
    return this.raw(this.uint());
  }

  raw(length: number): Uint8Array {
    const end = this.at + length;
    if (end > this.record.length) throw new RangeError('record is too short');
    const value = this.record.subarray(this.at, end);
    this.at = end;
    return value;
  }
}
