import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { join } from 'node:path';

/** Stream type, three zeros, length of the payload. */
const HEADER_BYTES = 8;
const STDERR = 2;

/** Called with pieces of one stream, in order; `name` is the file that they belong into. */
type Sink = (name: OutputName, piece: Buffer) => Promise<void>;
export type OutputName = 'output' | 'stdout' | 'stderr';

/** Docker cuts lines into frames of so many bytes. */
const FRAME_BYTES = 16 * 1024;
const NEWLINE = Buffer.from('\n');

/**
 * Cuts an engine's stream of frames, which come in any pieces, into payloads.
 *
 * Docker's `local` driver keeps every byte but the newline behind the last frame of a line of more than 16 KiB. Only such a
 * frame, and what a process wrote last, are shorter than a full one and have no newline: so it is put back as soon as another
 * frame of that stream shows that it was not the last. Behind the very last one nobody can tell; none is made up there.
 */
export class Demultiplexer {
  readonly #nameOf: (type: number) => OutputName;
  readonly #owed = new Set<number>();
  #header = Buffer.alloc(0);
  #type = 0;
  #length = 0;
  #left = 0;
  #lastByte: number | undefined;

  constructor(separateStreams: boolean) {
    this.#nameOf = (type) => (separateStreams ? (type === STDERR ? 'stderr' : 'stdout') : 'output');
  }

  async push(part: Buffer, sink: Sink): Promise<void> {
    for (let at = 0; at < part.length; ) {
      if (this.#left === 0) {
        const wanted = HEADER_BYTES - this.#header.length;
        this.#header = Buffer.concat([this.#header, part.subarray(at, at + wanted)]);
        at += wanted;
        if (this.#header.length === HEADER_BYTES) await this.#begin(sink);
        continue;
      }
      const piece = part.subarray(at, at + this.#left);
      at += piece.length;
      this.#left -= piece.length;
      this.#lastByte = piece.at(-1);
      await sink(this.#nameOf(this.#type), piece);
      if (this.#left === 0) this.#end();
    }
  }

  async #begin(sink: Sink): Promise<void> {
    this.#type = this.#header[0] ?? 0;
    this.#length = this.#header.readUInt32BE(4);
    this.#header = Buffer.alloc(0);
    this.#left = this.#length;
    this.#lastByte = undefined;
    if (this.#owed.delete(this.#type)) await sink(this.#nameOf(this.#type), NEWLINE);
    if (this.#length === 0) this.#end();
  }

  #end(): void {
    if (this.#lastByte !== NEWLINE[0] && this.#length < FRAME_BYTES) this.#owed.add(this.#type);
  }
}

/**
 * Copies what the engine kept of a container's output into the attempt's files. The length of a file is how far it has
 * come: it is read from the engine's beginning each time, and what the file has already is passed over. So an agent that is
 * killed between any two writes loses no byte and repeats none.
 */
export async function copyOutput(
  directory: string,
  separateStreams: boolean,
  frames: AsyncIterable<Buffer>,
): Promise<void> {
  const names: readonly OutputName[] = separateStreams ? ['stdout', 'stderr'] : ['output'];
  const files = new Map<OutputName, { file: FileHandle; skip: number }>();
  try {
    for (const name of names) {
      const file = await open(join(directory, name), 'a', 0o600);
      files.set(name, { file, skip: (await file.stat()).size });
    }
    const demultiplexer = new Demultiplexer(separateStreams);
    for await (const part of frames) {
      await demultiplexer.push(part, async (name, piece) => {
        const target = files.get(name);
        if (target === undefined) return;
        const passed = Math.min(target.skip, piece.length);
        target.skip -= passed;
        // A write that the disk cut short leaves the file longer by what it took: appendFile goes on from there or fails.
        if (passed < piece.length) await target.file.appendFile(piece.subarray(passed));
      });
    }
  } finally {
    for (const { file } of files.values()) await file.close();
  }
}
