import type { JobIdBytes } from '../types.ts';

/**
 * Where records live. A key is `<account>/<table>/<rest>`; numbers and times in `rest` are 8 bytes, big-endian, so that
 * byte order is their order.
 *
 * | table | rest | record |
 * |---|---|---|
 * | `s` | number | the job's spec, immutable, until the job is expired |
 * | `j` | number | header of a live job |
 * | `a` | number, attempt | an ended attempt of a job that was tried again |
 * | `c` | number, chunk (4 bytes), sequence (4 bytes) | children of an array; chunk 2^32 - 1: ranges that ended together |
 * | `b` | number, child (4 bytes), attempt (4 bytes) | an ended attempt of a child that was tried again |
 * | `x` | number | a job that is over |
 * | `i` | id (16 bytes) | number of a job that is over |
 * | `h` | time of the end, number, attempt, child if any (4 bytes) | accounting record of an attempt |
 * | `q` `e` `n` | name | queue, compute environment, node |
 * | `d` | name `:` revision (4 bytes) | job definition |
 *
 * The cluster's own record stands under `/m`.
 */
export type Table = 's' | 'j' | 'a' | 'c' | 'b' | 'x' | 'i' | 'h' | 'q' | 'e' | 'n' | 'd';

export const CLUSTER_KEY: Uint8Array = new TextEncoder().encode('/m');

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const prefixes = new Map<string, Uint8Array>();

/** The most prefixes kept for reuse; accounts are few. */
const MAX_PREFIXES = 10_000;

function prefix(account: string, table: Table): Uint8Array {
  const text = `${account}/${table}/`;
  let bytes = prefixes.get(text);
  if (bytes === undefined) {
    bytes = encoder.encode(text);
    if (prefixes.size < MAX_PREFIXES) prefixes.set(text, bytes);
  }
  return bytes;
}

/** A key with room for `restBytes` behind its prefix. */
function start(account: string, table: Table, restBytes: number): { key: Uint8Array; at: number } {
  const head = prefix(account, table);
  const key = new Uint8Array(head.length + restBytes);
  key.set(head);
  return { key, at: head.length };
}

function setWord(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

function setNumber(bytes: Uint8Array, at: number, value: number): void {
  setWord(bytes, at, Math.floor(value / 2 ** 32));
  setWord(bytes, at + 4, value >>> 0);
}

function numberKey(account: string, table: Table, number: number): Uint8Array {
  const { key, at } = start(account, table, 8);
  setNumber(key, at, number);
  return key;
}

function nameKey(account: string, table: Table, name: string): Uint8Array {
  const rest = encoder.encode(name);
  const { key, at } = start(account, table, rest.length);
  key.set(rest, at);
  return key;
}

export const specKey = (account: string, number: number): Uint8Array => numberKey(account, 's', number);
export const liveJobKey = (account: string, number: number): Uint8Array => numberKey(account, 'j', number);
export const endedJobKey = (account: string, number: number): Uint8Array => numberKey(account, 'x', number);
export const queueKey = (account: string, name: string): Uint8Array => nameKey(account, 'q', name);
export const environmentKey = (account: string, name: string): Uint8Array => nameKey(account, 'e', name);
export const nodeKey = (account: string, name: string): Uint8Array => nameKey(account, 'n', name);

/** The chunk that stands for ranges of children that ended together. */
export const RANGE_ENDS = 0xffff_ffff;

export function chunkKey(account: string, number: number, chunk: number, sequence: number): Uint8Array {
  return childKey(account, 'c', number, chunk, sequence);
}

export function rangeEndKey(account: string, number: number, sequence: number): Uint8Array {
  return childKey(account, 'c', number, RANGE_ENDS, sequence);
}

/** Chunk and sequence of a key in table `c`. */
export function chunkOf(key: Uint8Array): { readonly chunk: number; readonly sequence: number } {
  const view = new DataView(key.buffer, key.byteOffset + key.length - 8, 8);
  return { chunk: view.getUint32(0), sequence: view.getUint32(4) };
}

/** All records of one array's chunks from `first` up to, not including, `end`. */
export function chunkRange(account: string, number: number, first: number, end: number) {
  return { gte: chunkKey(account, number, first, 0), lt: chunkKey(account, number, end, 0) };
}

/** All records of one array in table `c` or `b`. */
export function arrayRange(account: string, table: 'b' | 'c', number: number): { gte: Uint8Array; lt: Uint8Array } {
  return { gte: numberKey(account, table, number), lt: numberKey(account, table, number + 1) };
}

function childKey(account: string, table: Table, number: number, first: number, second: number): Uint8Array {
  const { key, at } = start(account, table, 16);
  setNumber(key, at, number);
  setWord(key, at + 8, first);
  setWord(key, at + 12, second);
  return key;
}

/** `child` NONE: of a plain job. */
export function attemptKey(account: string, number: number, attempt: number, child = -1): Uint8Array {
  if (child >= 0) return childKey(account, 'b', number, child, attempt);
  const { key, at } = start(account, 'a', 12);
  setNumber(key, at, number);
  setWord(key, at + 8, attempt);
  return key;
}

/** Holds the number of a job that is over: 8 bytes, read with `numberAt(value, 0)`. */
export function jobIdIndexKey(account: string, id: JobIdBytes): Uint8Array {
  const { key, at } = start(account, 'i', 16);
  key.set(id, at);
  return key;
}

export function historyKey(
  account: string,
  stoppedAtMs: number,
  number: number,
  attempt: number,
  child = -1,
): Uint8Array {
  const { key, at } = start(account, 'h', child < 0 ? 20 : 24);
  if (child >= 0) setWord(key, at + 20, child);
  setNumber(key, at, stoppedAtMs);
  setNumber(key, at + 8, number);
  setWord(key, at + 16, attempt);
  return key;
}

/** The first possible key of a time in the history table: the bound of a range. */
export const historyTimeKey = (account: string, ms: number): Uint8Array => numberKey(account, 'h', ms);

export function definitionKey(account: string, name: string, revision: number): Uint8Array {
  const rest = encoder.encode(`${name}:`);
  const { key, at } = start(account, 'd', rest.length + 4);
  key.set(rest, at);
  setWord(key, at + rest.length, revision);
  return key;
}

/** All keys of one table of one account. */
export function tableRange(account: string, table: Table): { gte: Uint8Array; lt: Uint8Array } {
  const gte = prefix(account, table).slice();
  const lt = gte.slice();
  const last = lt.length - 1;
  lt[last] = (lt[last] ?? 0) + 1;
  return { gte, lt };
}

/** The 8-byte number that begins at `offset` of a key or value. */
export function numberAt(bytes: Uint8Array, offset: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return view.getUint32(offset) * 2 ** 32 + view.getUint32(offset + 4);
}

/** The 8-byte encoding that `numberAt` reads. */
export function numberBytes(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  setNumber(bytes, 0, value);
  return bytes;
}

/** What follows `<account>/<table>/` in a key. */
export function restOf(key: Uint8Array): Uint8Array {
  const first = key.indexOf(0x2f);
  return key.subarray(first + 3);
}

/** The name that ends a queue, environment or node key. */
export const nameOf = (key: Uint8Array): string => decoder.decode(restOf(key));
