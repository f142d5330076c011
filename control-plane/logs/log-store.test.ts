import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GAP_DAMAGED, type LogChunk, LogStoreError, MAX_CHUNK_BYTES } from './log-store.ts';
import { SegmentLogStore } from './segment-log-store.ts';
import { bytesOf, chunk, collect, gap, refOf, textOf } from './testing.ts';

let directory: string;
let store: SegmentLogStore;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'galley-logs-'));
  store = await SegmentLogStore.open({ directory, freeFloorBytes: 0 });
});

afterEach(async () => {
  await store.close();
  await rm(directory, { recursive: true });
});

async function reopen(): Promise<void> {
  await store.close();
  store = await SegmentLogStore.open({ directory, freeFloorBytes: 0 });
}

const ref = refOf(7);
const output = (offset: number, maxBytes?: number) =>
  store.read({ ref, stream: 'output', offset, ...(maxBytes ? { maxBytes } : {}) });

describe('append and read', () => {
  it('reads back what was appended, with its times, before and after a restart', async () => {
    await store.append([chunk(ref, 0, 'hello ', 1000), chunk(ref, 6, 'world', 2000)]);
    const expected = [chunk(ref, 0, 'hello ', 1000), chunk(ref, 6, 'world', 2000)].map(comparable);
    expect((await output(0)).chunks.map(comparable)).toEqual(expected);
    await reopen();
    const page = await output(0);
    expect(page.chunks.map(comparable)).toEqual(expected);
    expect(page).toMatchObject({ nextOffset: 11, knownLength: 11, ended: false });
  });

  it('reads by byte range within and across chunks', async () => {
    await store.append([chunk(ref, 0, 'abcdef'), chunk(ref, 6, 'ghijkl')]);
    expect(textOf((await output(2, 6)).chunks)).toBe('cdefgh');
    expect(textOf((await output(8, 2)).chunks)).toBe('ij');
    expect(await output(12)).toMatchObject({ chunks: [], nextOffset: 12 });
    expect(await output(50)).toMatchObject({ chunks: [], nextOffset: 50, knownLength: 12 });
  });

  it('keeps attempts, children, tasks, containers and streams apart', async () => {
    const refs = [
      refOf(7),
      refOf(7, 0),
      refOf(7, 1),
      refOf(7, 1, 2),
      { ...refOf(7), task: 1 },
      { ...refOf(7), container: 1 },
      refOf(2 ** 40),
    ];
    const streams = ['output', 'stdout', 'stderr'] as const;
    const name = (index: number, stream: string) => `${index}-${stream}`;
    await store.append(
      refs.flatMap((one, index) => streams.map((stream) => ({ ...chunk(one, 0, name(index, stream)), stream }))),
    );
    await reopen();
    for (const [index, one] of refs.entries()) {
      for (const stream of streams) {
        expect(textOf((await store.read({ ref: one, stream, offset: 0 })).chunks)).toBe(name(index, stream));
      }
    }
  });

  it('knows what it has: a chunk sent again changes nothing, an overlap brings only what is new', async () => {
    await store.append([chunk(ref, 0, 'abc')]);
    expect(await store.append([chunk(ref, 0, 'abc'), chunk(ref, 1, 'XXde'), chunk(ref, 0, 'abcde')])).toEqual({
      refused: [],
    });
    await reopen();
    await store.append([chunk(ref, 3, 'def')]);
    expect(textOf((await output(0)).chunks)).toBe('abcdef');
    expect((await output(0)).knownLength).toBe(6);
  });

  it('refuses a chunk ahead of the known end, says from where to send, and takes the others', async () => {
    await store.append([chunk(ref, 0, 'abc')]);
    const result = await store.append([chunk(ref, 5, 'late'), chunk(refOf(8), 0, 'other')]);
    expect(result.refused).toEqual([
      {
        index: 0,
        code: 'AHEAD',
        resendFrom: 3,
        message: 'output of job 7 attempt 1: chunk starts at 5, after the known end 3',
      },
    ]);
    expect((await store.lengths(refOf(8))).output.known).toBe(5);
  });

  it('keeps gaps with their reason, and cuts them like data', async () => {
    await store.append([chunk(ref, 0, 'abc'), gap(ref, 3, 10_000_000_000, 'flood'), chunk(ref, 10_000_000_003, 'xyz')]);
    await reopen();
    const page = await output(1);
    expect(page.chunks.map(comparable)).toEqual([
      comparable(chunk(ref, 1, 'bc')),
      comparable(gap(ref, 3, 10_000_000_000, 'flood')),
      comparable(chunk(ref, 10_000_000_003, 'xyz')),
    ]);
    expect((await output(5_000_000_000)).chunks[0]).toMatchObject({ offset: 5_000_000_000, length: 5_000_000_003 });
  });

  it('takes the largest chunk and refuses what is out of range by name', async () => {
    const data = new Uint8Array(MAX_CHUNK_BYTES).fill(65);
    await store.append([{ ...chunk(ref, 0, ''), data }]);
    expect((await output(0)).knownLength).toBe(MAX_CHUNK_BYTES);
    const invalid: [LogChunk, RegExp][] = [
      [{ ...chunk(ref, 0, ''), data: new Uint8Array(MAX_CHUNK_BYTES + 1) }, /chunks\[0\].*data length.*1048577/],
      [chunk(refOf(0), 0, 'a'), /jobNumber.*from 1 .*got 0/],
      [chunk(ref, -1, 'a'), /offset.*got -1/],
      [gap(ref, 0, 1, 'x'.repeat(257)), /gap reason.*256.*257/],
    ];
    for (const [bad, message] of invalid) {
      await expect(store.append([bad])).rejects.toMatchObject({
        code: 'INVALID',
        message: expect.stringMatching(message),
      });
    }
  });
});

describe('tail', () => {
  it('finds the last lines and bytes across chunks', async () => {
    await store.append([chunk(ref, 0, 'one\ntw'), chunk(ref, 6, 'o\nthree\nfo'), chunk(ref, 16, 'ur\n')]);
    const tail = async (last: { bytes: number } | { lines: number }) =>
      textOf((await store.tail({ ref, stream: 'output', last })).chunks);
    expect(await tail({ lines: 1 })).toBe('four\n');
    expect(await tail({ lines: 3 })).toBe('two\nthree\nfour\n');
    expect(await tail({ lines: 10 })).toBe('one\ntwo\nthree\nfour\n');
    expect(await tail({ lines: 0 })).toBe('');
    expect(await tail({ bytes: 6 })).toBe('\nfour\n');
    await store.append([chunk(ref, 19, 'tail')]);
    expect(await tail({ lines: 2 })).toBe('four\ntail');
  });

  it('does not count missing bytes', async () => {
    await store.append([chunk(ref, 0, 'a\nb\n'), gap(ref, 4, 1e12, 'flood')]);
    const page = await store.tail({ ref, stream: 'output', last: { lines: 1 } });
    expect(page.chunks.map(comparable)).toEqual([
      comparable(chunk(ref, 2, 'b\n')),
      comparable(gap(ref, 4, 1e12, 'flood')),
    ]);
  });
});

describe('end', () => {
  it('ends a stream at its reported length, whenever the last bytes arrive', async () => {
    await store.append([chunk(ref, 0, 'abc')]);
    await store.end(ref, { output: 6 });
    expect(await output(0)).toMatchObject({ nextOffset: 3, ended: false });
    await store.append([chunk(ref, 3, 'def')]);
    expect(await output(0)).toMatchObject({ nextOffset: 6, ended: true });
    await reopen();
    expect(await output(0)).toMatchObject({ nextOffset: 6, ended: true });
    expect((await store.lengths(ref)).stderr).toEqual({ known: 0, final: 0 });
    const past = await store.append([chunk(ref, 6, 'g')]);
    expect(past.refused).toMatchObject([{ code: 'PAST_FINAL', resendFrom: 6 }]);
  });

  it('takes the same report again and refuses one that contradicts it', async () => {
    await store.append([chunk(ref, 0, 'abc')]);
    await expect(store.end(ref, { output: 2 })).rejects.toMatchObject({ code: 'CONFLICT' });
    await store.end(ref, { output: 3 });
    await store.end(ref, { output: 3 });
    await store.end(ref, {});
    await expect(store.end(ref, { output: 4 })).rejects.toMatchObject({ code: 'CONFLICT' });
    expect((await store.lengths(ref)).output).toEqual({ known: 3, final: 3 });
  });

  it('lets late evidence of a lost node follow a presumed end', async () => {
    await store.append([chunk(ref, 0, 'abc')]);
    await store.end(ref, {});
    expect(await output(0)).toMatchObject({ ended: true });
    await store.append([chunk(ref, 3, 'def')]);
    await store.end(ref, { output: 9 });
    await reopen();
    expect((await store.lengths(ref)).output).toEqual({ known: 6, final: 9 });
  });
});

describe('follow', () => {
  it('yields every byte once, from any point, and returns at the final length', async () => {
    await store.append([chunk(ref, 0, 'abc')]);
    const whole = collect(store.follow(ref, { stream: 'output' }));
    const part = collect(store.follow(ref, { stream: 'output', from: { offset: 2 } }));
    const tail = collect(store.follow(ref, { stream: 'output', from: { bytes: 1 } }));
    for (let at = 3; at < 53; at++) {
      await store.append([chunk(ref, at, String(at % 10))]);
    }
    await store.end(ref, { output: 53 });
    const text = `abc${Array.from({ length: 50 }, (_, index) => (index + 3) % 10).join('')}`;
    expect(textOf(await whole)).toBe(text);
    expect(textOf(await part)).toBe(text.slice(2));
    expect(textOf(await tail)).toBe(text.slice(2));
    expect((await store.usage()).followers).toBe(0);
  });

  it('waits for an attempt that has not begun, and for bytes that come after the end report', async () => {
    const followed = collect(store.follow(ref, { stream: 'stderr' }));
    await store.end(ref, { stderr: 3 });
    await store.append([{ ...chunk(ref, 0, 'abc'), stream: 'stderr' }]);
    expect(textOf(await followed)).toBe('abc');
  });

  it('ends quietly when it is aborted, and with CLOSED when the store closes; goes on after a restart', async () => {
    await store.append([chunk(ref, 0, 'abc')]);
    const abort = new AbortController();
    const aborted: LogChunk[] = [];
    for await (const one of store.follow(ref, { stream: 'output', signal: abort.signal })) {
      aborted.push(one);
      setImmediate(() => abort.abort());
    }
    expect(textOf(aborted)).toBe('abc');

    const seen: LogChunk[] = [];
    const first = collect(store.follow(ref, { stream: 'output' }), seen);
    await Promise.all([expect(first).rejects.toMatchObject({ code: 'CLOSED' }), waitFor(seen).then(reopen)]);
    const second = collect(store.follow(ref, { stream: 'output', from: { offset: bytesOf(seen) } }), seen);
    await store.append([chunk(ref, 0, 'abcdef')]);
    await store.end(ref, { output: 6 });
    await second;
    expect(textOf(seen)).toBe('abcdef');
  });
});

describe('the directory', () => {
  it('is open once', async () => {
    await expect(SegmentLogStore.open({ directory })).rejects.toMatchObject({ code: 'LOCKED' });
    const closed = store;
    await reopen();
    await expect(closed.append([])).rejects.toBeInstanceOf(LogStoreError);
    await expect(closed.read({ ref, stream: 'output', offset: 0 })).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('refuses appends below the floor of free space, and reads go on', async () => {
    await store.append([chunk(ref, 0, 'abc')]);
    await store.close();
    store = await SegmentLogStore.open({ directory, freeFloorBytes: Number.MAX_SAFE_INTEGER });
    await expect(store.append([chunk(ref, 3, 'd')])).rejects.toMatchObject({ code: 'NO_SPACE' });
    expect(textOf((await output(0)).chunks)).toBe('abc');
    expect((await output(0)).chunks.some((one) => one.kind === 'gap' && one.reason === GAP_DAMAGED)).toBe(false);
  });
});

/** Resolves once a follower has delivered something. */
async function waitFor(seen: readonly LogChunk[]): Promise<void> {
  while (seen.length === 0) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Chunks as plain values: references with every field, text for bytes. */
function comparable(one: LogChunk): unknown {
  const whole = { ...one, ref: { task: 0, container: 0, ...one.ref } };
  return one.kind === 'data' ? { ...whole, data: Buffer.from(one.data).toString('latin1') } : whole;
}
