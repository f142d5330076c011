import { RangeSet } from '../arrays/range-set.ts';
import type { EndCause } from '../types.ts';
import { RecordReader, RecordWriter } from './codec.ts';

const VERSION = 1;
const out = new RecordWriter();

/** Children of an array that ended together while they waited: one record however many they are. */
export interface RangeEndRecord {
  readonly children: RangeSet;
  readonly reason: string;
  readonly cause: EndCause;
  readonly atMs: number;
}

export function encodeRangeEnd({ children, reason, cause, atMs }: RangeEndRecord): Uint8Array {
  return children.write(out.start(VERSION).uint(atMs).byte(cause).text(reason)).finish();
}

export function decodeRangeEnd(bytes: Uint8Array): RangeEndRecord {
  const input = new RecordReader(bytes);
  input.version(VERSION);
  const atMs = input.uint();
  const cause = input.byte() as EndCause;
  const reason = input.text();
  return { atMs, cause, reason, children: RangeSet.read(input) };
}
