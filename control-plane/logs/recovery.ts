import { open } from 'node:fs/promises';
import { ChunkIndex } from './chunk-index.ts';
import { type IndexPut, indexPut } from './index-codec.ts';
import { LogStoreError } from './log-store.ts';
import { decodeFinals, FINALS_BYTES, RecordKind } from './record.ts';
import { type Scanned, scanSegment } from './scan.ts';
import { SEGMENT_HEADER_BYTES, type SegmentInfo, type SegmentPosition, segmentPath } from './segments.ts';

/** Index entries put in one batch while catching up. */
const CATCH_UP_BATCH = 2000;

/**
 * Where the last segment's whole records end. A turn is written only after the one before it was synced, and its first record says
 * so: damage before a later turn's start is damage, to be told; damage after the last start is a turn that a crash tore
 * and that nobody was told of, to be cut off.
 */
export async function wholeEnd(directory: string, segment: SegmentInfo, from: number): Promise<number> {
  let torn: number | undefined;
  let end = from;
  for await (const scanned of scanFile(directory, segment, from)) {
    if (scanned.kind === 'record' && scanned.header.turnStart) {
      torn = undefined;
    }
    if (scanned.kind === 'damage' || !scanned.whole) {
      torn ??= scanned.position;
    }
    if (scanned.kind === 'record') {
      end = scanned.position + scanned.size;
    }
  }
  return torn ?? end;
}

/** Puts the entries of every record from `from` on. */
export async function catchUp(
  directory: string,
  index: ChunkIndex,
  segments: readonly SegmentInfo[],
  from: SegmentPosition,
): Promise<void> {
  for (const segment of segments) {
    if (segment.number < from.segment) {
      continue;
    }
    const start = segment.number === from.segment ? from.position : SEGMENT_HEADER_BYTES;
    let puts: IndexPut[] = [];
    let reported = start;
    for await (const scanned of scanFile(directory, segment, start)) {
      if (scanned.kind !== 'record') {
        continue;
      }
      const { header, position, size, whole, body } = scanned;
      const isEnd = header.kind === RecordKind.end;
      if (isEnd && (!whole || body.length < FINALS_BYTES)) {
        continue;
      }
      const at = { segment: segment.number, position };
      puts.push(indexPut(header, isEnd ? decodeFinals(body, 0) : undefined, at, size));
      if (puts.length >= CATCH_UP_BATCH) {
        await index.put(puts);
        await index.progress({ segment: segment.number, position: position + size }, position + size - reported);
        reported = position + size;
        puts = [];
      }
    }
    await index.put(puts);
    await index.progress({ segment: segment.number, position: segment.bytes }, segment.bytes - reported);
  }
}

/** Every record and every damage of a segment file from `from` on. */
export async function* scanFile(directory: string, segment: SegmentInfo, from: number): AsyncGenerator<Scanned> {
  const file = await open(segmentPath(directory, segment.number), 'r');
  try {
    for await (const page of scanSegment(file, segment.number, from, segment.bytes)) {
      yield* page;
    }
  } finally {
    await file.close();
  }
}

/**
 * Opens the index and says from where it must be caught up. An index that does not open, has no checkpoint (LevelDB
 * without its CURRENT file opens empty), or points past the segments is thrown away.
 */
export async function openIndex(
  directory: string,
  segments: readonly SegmentInfo[],
  onRebuild: (reason: string) => void,
): Promise<{ index: ChunkIndex; from: SegmentPosition; rebuilt: boolean }> {
  const first = { segment: segments[0]?.number ?? 1, position: SEGMENT_HEADER_BYTES };
  let reason: string;
  let index: ChunkIndex | undefined;
  try {
    index = await ChunkIndex.open(directory);
    const checkpoint = await index.readCheckpoint();
    const marked = checkpoint && segments.find(({ number }) => number === checkpoint.segment);
    if (checkpoint && checkpoint.segment < first.segment) {
      return { index, from: first, rebuilt: false };
    }
    if (checkpoint && (marked ? checkpoint.position <= marked.bytes : segments.length === 0)) {
      return { index, from: checkpoint, rebuilt: false };
    }
    reason = checkpoint
      ? `checkpoint ${checkpoint.segment}/${checkpoint.position} is past the segments`
      : 'no checkpoint';
  } catch (error) {
    if (error instanceof LogStoreError) {
      throw error;
    }
    reason = describe(error);
  }
  await index?.close();
  if (segments.length > 0) {
    onRebuild(reason);
  }
  await ChunkIndex.destroy(directory);
  const fresh = await ChunkIndex.open(directory);
  await fresh.checkpoint(first);
  return { index: fresh, from: first, rebuilt: true };
}

/** The message with its cause, where LevelDB says what happened. */
export function describe(error: unknown): string {
  if (!(error instanceof Error)) {
    return String(error);
  }
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
