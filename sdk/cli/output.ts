import type { Writable } from 'node:stream';

/** stdout or stderr, or what a test puts in their place. */
export type Output = Writable & { readonly isTTY?: boolean; readonly columns?: number; readonly rows?: number };

interface Streams {
  readonly stdout: Output;
  readonly stderr: Output;
}

/** A line of the command's result. */
export function print({ stdout }: Pick<Streams, 'stdout'>, text: string): void {
  stdout.write(`${text}\n`);
}

/** A line beside the result: progress, warnings, what to type next. */
export function note({ stderr }: Pick<Streams, 'stderr'>, text: string): void {
  stderr.write(`${text}\n`);
}

/** Bytes as they are; resolves when there is room for more. */
export function writeBytes(output: Output, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    output.write(bytes, (error) => (error ? reject(error) : resolve()));
  });
}

/** Width that a table may take: the terminal's, or no limit. */
export function widthOf(output: Output): number {
  return output.isTTY === true ? (output.columns ?? 80) : Number.POSITIVE_INFINITY;
}

/** One JSON value, for people who pipe into jq. */
export function printJson(streams: Pick<Streams, 'stdout'>, value: unknown): void {
  print(streams, JSON.stringify(value, undefined, 2));
}

/** A line of JSON. */
export function printJsonLine(streams: Pick<Streams, 'stdout'>, value: unknown): void {
  print(streams, JSON.stringify(value));
}

/** An array, written item by item: a list of any length in little memory. */
export async function printJsonArray(
  { stdout }: Pick<Streams, 'stdout'>,
  items: AsyncIterable<unknown> | Iterable<unknown>,
): Promise<void> {
  let separator = '[\n';
  for await (const item of items) {
    stdout.write(`${separator}${JSON.stringify(item)}`);
    separator = ',\n';
  }
  stdout.write(separator === '[\n' ? '[]\n' : '\n]\n');
}

/** All items of a list; a table needs them at once, to know how wide its columns are. */
export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
