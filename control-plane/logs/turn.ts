import { crc32 } from 'node:zlib';
import { type AttemptState, admitChunk, admitEnd, copyAttempt } from './admission.ts';
import { attemptKey } from './attempts.ts';
import { type IndexPut, indexPut } from './index-codec.ts';
import type { AttemptRef, LogChunk, Refusal, StreamKind } from './log-store.ts';
import {
  encodeFinals,
  encodeHeader,
  FINALS_BYTES,
  type Finals,
  HEADER_BYTES,
  RecordKind,
  streamIndex,
} from './record.ts';

/** Bodies up to this size are copied beside their header; larger ones are written from where they are. */
const COPY_BYTES = 4096;
const ARENA_BYTES = 256 * 1024;

/**
 * One turn of the writer: what has arrived is admitted in order against copies of the attempts' states, laid out as
 * records, and becomes true only when the records are synced. A turn that fails is dropped, and nothing has changed.
 */
export class Turn {
  readonly states = new Map<string, AttemptState>();
  readonly buffers: Buffer[] = [];
  readonly puts: IndexPut[] = [];
  bytes = 0;
  /** The highest job number among the records. */
  highestJob = 0;
  readonly #segment: number;
  readonly #position: number;
  #arena: Buffer;
  #arenaStart = 0;
  #arenaEnd = 0;

  constructor(segment: number, position: number, bytes: number) {
    this.#segment = segment;
    this.#position = position;
    this.#arena = Buffer.allocUnsafe(Math.min(bytes, ARENA_BYTES));
  }

  /** States must be loaded before anything about the attempt is added. */
  load(key: string, state: AttemptState): void {
    this.states.set(key, copyAttempt(state));
  }

  append(chunks: readonly LogChunk[]): Refusal[] {
    const refused: Refusal[] = [];
    for (const [index, chunk] of chunks.entries()) {
      const verdict = admitChunk(this.#state(chunk.ref), chunk);
      if (verdict.kind === 'refused') {
        refused.push({ index, ...verdict.refusal });
      } else if (verdict.kind === 'new') {
        this.#add(verdict.chunk);
      }
    }
    return refused;
  }

  /** A message when the report contradicts what is known. */
  end(ref: AttemptRef, lengths: Readonly<Partial<Record<StreamKind, number>>>, nowMs: number): string | undefined {
    const verdict = admitEnd(this.#state(ref), ref, lengths);
    if (verdict.kind === 'conflict') {
      return verdict.message;
    }
    if (verdict.kind === 'new') {
      const body = Buffer.allocUnsafe(FINALS_BYTES);
      encodeFinals(body, 0, verdict.finals);
      const place = { ref, stream: 0, offset: 0, length: 0, observedAtMs: nowMs } as const;
      this.#write(RecordKind.end, place, body, verdict.finals);
    }
    return undefined;
  }

  /** The buffers to write, in order. */
  finish(): Buffer[] {
    this.#flushArena();
    return this.buffers;
  }

  #state(ref: AttemptRef): AttemptState {
    const state = this.states.get(attemptKey(ref));
    if (!state) {
      throw new Error(`attempt ${attemptKey(ref)} was not loaded into the turn`);
    }
    return state;
  }

  #add(chunk: LogChunk): void {
    const { ref, offset, observedAtMs } = chunk;
    const stream = streamIndex(chunk.stream);
    if (chunk.kind === 'data') {
      const length = chunk.data.length;
      this.#write(RecordKind.data, { ref, stream, offset, length, observedAtMs }, chunk.data, undefined);
    } else {
      const length = chunk.length;
      this.#write(RecordKind.gap, { ref, stream, offset, length, observedAtMs }, Buffer.from(chunk.reason), undefined);
    }
  }

  #write(
    kind: RecordKind,
    place: { ref: AttemptRef; stream: 0 | 1 | 2; offset: number; length: number; observedAtMs: number },
    body: Uint8Array,
    finals: Finals | undefined,
  ): void {
    const turnStart = this.bytes === 0;
    const header = { kind, ...place, turnStart, bodyLength: body.length, bodyCrc: crc32(body) };
    const copied = body.length <= COPY_BYTES;
    const position = this.#position + this.bytes;
    this.#reserve(HEADER_BYTES + (copied ? body.length : 0));
    encodeHeader(this.#arena, this.#arenaEnd, header, this.#segment, position);
    this.#arenaEnd += HEADER_BYTES;
    if (copied) {
      this.#arena.set(body, this.#arenaEnd);
      this.#arenaEnd += body.length;
    } else {
      this.#flushArena();
      this.buffers.push(Buffer.from(body.buffer, body.byteOffset, body.byteLength));
    }
    const size = HEADER_BYTES + body.length;
    this.puts.push(indexPut(header, finals, { segment: this.#segment, position }, size));
    this.bytes += size;
    this.highestJob = Math.max(this.highestJob, place.ref.jobNumber);
  }

  #reserve(bytes: number): void {
    if (this.#arenaEnd + bytes > this.#arena.length) {
      this.#flushArena();
      this.#arena = Buffer.allocUnsafe(Math.max(ARENA_BYTES, bytes));
      this.#arenaStart = 0;
      this.#arenaEnd = 0;
    }
  }

  #flushArena(): void {
    if (this.#arenaEnd > this.#arenaStart) {
      this.buffers.push(this.#arena.subarray(this.#arenaStart, this.#arenaEnd));
      this.#arenaStart = this.#arenaEnd;
    }
  }
}
