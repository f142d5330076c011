import type { AttemptRef, LogChunk, Refusal, StreamKind } from './log-store.ts';
import { type Finals, STREAMS, streamIndex } from './record.ts';

/** What the store knows of one attempt: how far each stream reaches, and once it has ended, the final lengths. */
export interface AttemptState {
  readonly known: [number, number, number];
  /** Undefined while the attempt runs. */
  finals: Finals | undefined;
}

export const newAttempt = (): AttemptState => ({ known: [0, 0, 0], finals: undefined });

export const copyAttempt = (state: AttemptState): AttemptState => ({
  known: [...state.known],
  finals: state.finals,
});

/** Undefined while the attempt runs. */
export function finalLength(state: AttemptState, stream: StreamKind): number | undefined {
  const index = streamIndex(stream);
  return state.finals ? (state.finals[index] ?? state.known[index]) : undefined;
}

/** Ended, and every byte has arrived. */
export const isComplete = (state: AttemptState): boolean =>
  STREAMS.every((stream) => finalLength(state, stream) === state.known[streamIndex(stream)]);

export const chunkLength = (chunk: LogChunk): number => (chunk.kind === 'data' ? chunk.data.length : chunk.length);

export type ChunkVerdict =
  | { readonly kind: 'new'; readonly chunk: LogChunk }
  | { readonly kind: 'known' }
  | { readonly kind: 'refused'; readonly refusal: Omit<Refusal, 'index'> };

/** Decides on a chunk and moves the known end. The same chunk a second time is known; what overlaps is trimmed. */
export function admitChunk(state: AttemptState, chunk: LogChunk): ChunkVerdict {
  const index = streamIndex(chunk.stream);
  const known = state.known[index];
  const end = chunk.offset + chunkLength(chunk);
  const final = state.finals?.[index];
  if (final !== undefined && end > final) {
    const message = `${chunk.stream} of ${describeRef(chunk.ref)}: chunk ends at ${end}, after the final length ${final}`;
    return { kind: 'refused', refusal: { code: 'PAST_FINAL', resendFrom: known, message } };
  }
  if (chunk.offset > known) {
    const message = `${chunk.stream} of ${describeRef(chunk.ref)}: chunk starts at ${chunk.offset}, after the known end ${known}`;
    return { kind: 'refused', refusal: { code: 'AHEAD', resendFrom: known, message } };
  }
  if (end <= known) {
    return { kind: 'known' };
  }
  state.known[index] = end;
  return { kind: 'new', chunk: cutChunk(chunk, known, end) };
}

export type EndVerdict =
  | { readonly kind: 'new'; readonly finals: Finals }
  | { readonly kind: 'known' }
  | { readonly kind: 'conflict'; readonly message: string };

/** Decides on an end report and remembers it. A length that was only presumed gives way to one that is reported. */
export function admitEnd(
  state: AttemptState,
  ref: AttemptRef,
  lengths: Readonly<Partial<Record<StreamKind, number>>>,
): EndVerdict {
  const finals: [number | undefined, number | undefined, number | undefined] = [undefined, undefined, undefined];
  let changed = state.finals === undefined;
  for (const stream of STREAMS) {
    const index = streamIndex(stream);
    const before = state.finals?.[index];
    const reported = lengths[stream];
    const what = `final length of ${stream} of ${describeRef(ref)}`;
    if (reported !== undefined && before !== undefined && reported !== before) {
      return { kind: 'conflict', message: `${what}: reported as ${before} before, now as ${reported}` };
    }
    if (reported !== undefined && reported < state.known[index]) {
      return { kind: 'conflict', message: `${what}: ${reported} is below the known ${state.known[index]} bytes` };
    }
    finals[index] = reported ?? before;
    changed ||= finals[index] !== before;
  }
  if (!changed) {
    return { kind: 'known' };
  }
  state.finals = finals;
  return { kind: 'new', finals };
}

/** The part of a chunk between two stream offsets. */
export function cutChunk(chunk: LogChunk, from: number, to: number): LogChunk {
  const start = Math.max(from, chunk.offset);
  const end = Math.min(to, chunk.offset + chunkLength(chunk));
  if (start === chunk.offset && end === chunk.offset + chunkLength(chunk)) {
    return chunk;
  }
  return chunk.kind === 'data'
    ? { ...chunk, offset: start, data: chunk.data.subarray(start - chunk.offset, end - chunk.offset) }
    : { ...chunk, offset: start, length: end - start };
}

export function describeRef(ref: AttemptRef): string {
  const child = ref.childIndex < 0 ? '' : `:${ref.childIndex}`;
  return `job ${ref.jobNumber}${child} attempt ${ref.attempt}`;
}
