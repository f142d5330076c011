import { type FileHandle, mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { LogStoreError } from './log-store.ts';

/** Segment files: `segments/0000000001.log`, a header of 16 bytes, then records, one after another. */
export const SEGMENT_HEADER_BYTES = 16;
const SEGMENT_MAGIC = 'GALLEYLG';
const FORMAT_VERSION = 1;

/** A place in the sequence of segments. */
export interface SegmentPosition {
  readonly segment: number;
  readonly position: number;
}

export interface SegmentInfo {
  readonly number: number;
  bytes: number;
}

export const segmentsDirectory = (directory: string): string => join(directory, 'segments');

export const segmentPath = (directory: string, segment: number): string =>
  join(segmentsDirectory(directory), `${String(segment).padStart(10, '0')}.log`);

/** The segments on disk, oldest first, without one that a crash left before its header was whole. */
export async function listSegments(directory: string): Promise<SegmentInfo[]> {
  await mkdir(segmentsDirectory(directory), { recursive: true, mode: 0o700 });
  const segments: SegmentInfo[] = [];
  for (const name of (await readdir(segmentsDirectory(directory))).sort()) {
    const match = /^(\d{10})\.log$/.exec(name);
    if (!match?.[1]) {
      continue;
    }
    const number = Number(match[1]);
    const { size } = await stat(segmentPath(directory, number));
    if (size < SEGMENT_HEADER_BYTES) {
      continue;
    }
    await checkFormat(directory, number);
    segments.push({ number, bytes: size });
  }
  return segments;
}

/** A header that is no header of ours is damage, and records check themselves; another version is refused. */
async function checkFormat(directory: string, segment: number): Promise<void> {
  const path = segmentPath(directory, segment);
  const file = await open(path, 'r');
  try {
    const header = Buffer.alloc(SEGMENT_HEADER_BYTES);
    await file.read(header, 0, SEGMENT_HEADER_BYTES, 0);
    const version = header.readUInt32LE(8);
    if (header.toString('latin1', 0, 8) === SEGMENT_MAGIC && version !== FORMAT_VERSION) {
      const message = `${path}: log format ${version}, this version of Galley reads ${FORMAT_VERSION}`;
      throw new LogStoreError('FORMAT', message);
    }
  } finally {
    await file.close();
  }
}

/** The segment that takes new records. Everything before `position` is synced. */
export class ActiveSegment {
  readonly number: number;
  readonly #file: FileHandle;
  #position: number;

  private constructor(number: number, file: FileHandle, position: number) {
    this.number = number;
    this.#file = file;
    this.#position = position;
  }

  get position(): number {
    return this.#position;
  }

  /** Goes on with an existing segment after its tail was checked: what stands after `position` is cut off. */
  static async resume(directory: string, number: number, position: number): Promise<ActiveSegment> {
    const file = await open(segmentPath(directory, number), 'r+');
    try {
      await file.truncate(position);
      await file.sync();
      return new ActiveSegment(number, file, position);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  static async create(directory: string, number: number): Promise<ActiveSegment> {
    const path = segmentPath(directory, number);
    // What may stand there is not in the list: a crash left it before its header was whole.
    const file = await open(path, 'w', 0o600);
    try {
      const header = Buffer.alloc(SEGMENT_HEADER_BYTES);
      header.write(SEGMENT_MAGIC, 'latin1');
      header.writeUInt32LE(FORMAT_VERSION, 8);
      header.writeUInt32LE(number, 12);
      await writeFully(file, [header], 0);
      await file.sync();
      await syncDirectory(segmentsDirectory(directory));
      return new ActiveSegment(number, file, SEGMENT_HEADER_BYTES);
    } catch (error) {
      await file.close();
      await rm(path, { force: true });
      throw error;
    }
  }

  /** Writes and syncs. After a rejection the segment stands as before once `rewind` has resolved. */
  async append(buffers: Buffer[], bytes: number): Promise<void> {
    await writeFully(this.#file, buffers, this.#position);
    await this.#file.datasync();
    this.#position += bytes;
  }

  /** Takes back what a failed append may have left, so that the same bytes can be written again without standing twice. */
  async rewind(): Promise<void> {
    await this.#file.truncate(this.#position);
    await this.#file.sync();
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

/** The segments in order; the last one takes new records. Changes only inside the store's mutex. */
export class SegmentSet {
  readonly directory: string;
  /** Oldest first; `bytes` of the last one counts what is synced. Never empty once opened. */
  readonly list: SegmentInfo[];
  /** Segments below this one were dropped, or are being dropped. */
  firstKept: number;
  #active: ActiveSegment | undefined;

  constructor(directory: string, list: SegmentInfo[]) {
    this.directory = directory;
    this.list = list;
    this.firstKept = list[0]?.number ?? 1;
  }

  get bytes(): number {
    return this.list.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Goes on with the last segment at its checked end, or starts the first. */
  async resume(): Promise<void> {
    const last = this.list.at(-1);
    if (last) {
      this.#active = await ActiveSegment.resume(this.directory, last.number, last.bytes);
    } else {
      await this.roll();
    }
  }

  /** The segment to write to; a new one when the last is full or could not be trusted any more. */
  async writable(segmentBytes: number): Promise<ActiveSegment> {
    if (this.#active && this.#active.position < segmentBytes) {
      return this.#active;
    }
    return await this.roll();
  }

  async roll(): Promise<ActiveSegment> {
    const next = await ActiveSegment.create(this.directory, (this.list.at(-1)?.number ?? 0) + 1);
    const before = this.#active;
    this.#active = next;
    this.list.push({ number: next.number, bytes: next.position });
    await before?.close();
    return next;
  }

  /** After a failed sync the kernel may have dropped what it could not write: nothing more goes through that file. */
  async abandon(): Promise<void> {
    const active = this.#active;
    this.#active = undefined;
    await active?.close();
  }

  async remove(segment: SegmentInfo): Promise<void> {
    await rm(segmentPath(this.directory, segment.number), { force: true });
    await syncDirectory(segmentsDirectory(this.directory));
    this.list.splice(this.list.indexOf(segment), 1);
  }

  async close(): Promise<void> {
    await this.abandon();
  }
}

async function writeFully(file: FileHandle, buffers: Buffer[], position: number): Promise<void> {
  let left = buffers;
  let at = position;
  while (left.length > 0) {
    let { bytesWritten } = await file.writev(left, at);
    at += bytesWritten;
    let whole = 0;
    while (whole < left.length && bytesWritten >= (left[whole]?.length ?? 0)) {
      bytesWritten -= left[whole]?.length ?? 0;
      whole++;
    }
    left = left.slice(whole);
    if (left[0] && bytesWritten > 0) {
      left[0] = left[0].subarray(bytesWritten);
    }
  }
}

export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
