import { LogService } from '@galley/proto';
import { status } from '@grpc/grpc-js';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { connectGalley, type GalleyClient } from './client.ts';
import type { LogChunk } from './logs.ts';
import { type FakeControlPlane, Refusal, startFakeControlPlane } from './testing/fake-control-plane.ts';

let fake: FakeControlPlane;
let galley: GalleyClient;

beforeEach(async () => {
  fake = await startFakeControlPlane();
  galley = connectGalley({
    address: fake.address,
    env: {},
    retry: { initialBackoffMs: 5, maxBackoffMs: 20 },
  });
});

afterEach(async () => {
  galley.close();
  await fake.stop();
});

const text = (chunks: readonly LogChunk[]) => Buffer.concat(chunks.map(({ data }) => data)).toString();

async function collect(chunks: AsyncIterable<LogChunk>): Promise<LogChunk[]> {
  const all: LogChunk[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return all;
}

/** Serves a log in pieces and breaks the stream wherever `cuts` says, after so many pieces of one stream. */
function serveBroken(log: Buffer, pieceBytes: number, cuts: number[]) {
  const asked: number[] = [];
  fake.on(LogService, {
    async *followLog({ offset, log: selector }) {
      asked.push(Number(offset));
      const cut = cuts.shift() ?? Number.POSITIVE_INFINITY;
      // Whole pieces, as a segment store has them: the first one may begin before the offset that was asked for.
      let at = Math.floor(Number(offset) / pieceBytes) * pieceBytes;
      for (let sent = 0; at < log.length; sent += 1) {
        if (sent === cut) throw new Refusal({ code: status.UNAVAILABLE, message: 'restarting' });
        const data = log.subarray(at, at + pieceBytes);
        yield { attempt: selector?.attempt || 1, chunks: [{ offset: BigInt(at), data }] };
        at += data.length;
      }
      yield { attempt: 1, ended: true };
    },
  });
  return asked;
}

test('a follower that loses its connection again and again sees every byte once, in order', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 400 }),
      fc.integer({ min: 1, max: 64 }),
      fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 6 }),
      async (bytes, pieceBytes, cuts) => {
        serveBroken(Buffer.from(bytes), pieceBytes, [...cuts]);
        const chunks = await collect(galley.followLog('job'));
        expect(Buffer.concat(chunks.map(({ data }) => data))).toEqual(Buffer.from(bytes));
      },
    ),
    { numRuns: 25 },
  );
});

test('a follower goes on at the next byte when the control plane is killed and comes back', async () => {
  let streams = 0;
  fake.on(LogService, {
    async *followLog({ offset }, { signal }) {
      streams += 1;
      if (streams === 1) {
        yield { attempt: 1, chunks: [{ offset: 0n, data: Buffer.from('one\n') }] };
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        return;
      }
      expect(offset).toBe(4n);
      yield { attempt: 1, chunks: [{ offset: 4n, data: Buffer.from('two\n') }], ended: true };
    },
  });
  const heard: (string | undefined)[] = [];
  const seen: LogChunk[] = [];
  for await (const chunk of galley.followLog('job', { onReconnect: (error) => heard.push(error?.code) })) {
    seen.push(chunk);
    if (seen.length === 1) {
      await fake.stop();
      await fake.start();
    }
  }
  expect(text(seen)).toBe('one\ntwo\n');
  expect(heard).toHaveLength(2);
  expect(heard[1]).toBeUndefined();
});

test('a log whose rest cannot be had is not taken for a whole one', async () => {
  fake.on(LogService, {
    async *followLog() {
      yield { attempt: 1, chunks: [{ offset: 0n, data: Buffer.from('half') }] };
    },
  });
  const seen: LogChunk[] = [];
  const follow = async () => {
    for await (const chunk of galley.followLog('job')) seen.push(chunk);
  };
  await expect(follow()).rejects.toMatchObject({ code: 'FAILED_PRECONDITION', reason: 'LOG_INCOMPLETE' });
  expect(text(seen)).toBe('half');
});

test('the next attempt begins at its first byte', async () => {
  const asked: [number, bigint][] = [];
  fake.on(LogService, {
    async *followLog({ offset, log }) {
      asked.push([log?.attempt ?? -1, offset]);
      if (asked.length === 1) {
        yield { attempt: 1, chunks: [{ offset: 0n, data: Buffer.from('first') }], ended: true };
        yield { attempt: 2, chunks: [{ offset: 0n, data: Buffer.from('sec') }] };
        throw new Refusal({ code: status.UNAVAILABLE, message: 'restarting' });
      }
      yield { attempt: 2, chunks: [{ offset: 0n, data: Buffer.from('second') }], ended: true };
    },
  });
  const chunks = await collect(galley.followLog('job', { allAttempts: true }));
  expect(chunks.map(({ attempt, data }) => [attempt, Buffer.from(data).toString()])).toEqual([
    [1, 'first'],
    [2, 'sec'],
    [2, 'ond'],
  ]);
  expect(asked).toEqual([
    [0, 0n],
    [2, 3n],
  ]);
});

test('a refusal is an error, not a reason to try again', async () => {
  fake.on(LogService, {
    async *followLog() {
      yield { attempt: 7 };
      throw new Refusal({ code: status.NOT_FOUND, message: 'job has no attempt 7', reason: 'NO_ATTEMPT' });
    },
  });
  await expect(collect(galley.followLog('job', { attempt: 7 }))).rejects.toMatchObject({
    code: 'NOT_FOUND',
    reason: 'NO_ATTEMPT',
    message: 'job has no attempt 7',
  });
});

test('a whole log is read in as many reads as it takes, the tail only once', async () => {
  const log = Buffer.from('a\nb\nc\nd\n');
  const asked: object[] = [];
  fake.on(LogService, {
    readLog({ offset, tailLines, log: selector }) {
      asked.push({ offset, tailLines, attempt: selector?.attempt });
      const from = tailLines > 0 ? log.length - 2 * tailLines : Number(offset);
      const data = log.subarray(from, from + 3);
      const nextOffset = BigInt(from + data.length);
      return {
        attempt: 2,
        chunks: [{ offset: BigInt(from), data }],
        nextOffset,
        length: BigInt(log.length),
        ended: nextOffset === BigInt(log.length),
      };
    },
  });
  expect(text(await collect(galley.readWholeLog('job', { tailLines: 3 })))).toBe('b\nc\nd\n');
  expect(asked).toEqual([
    { offset: 0n, tailLines: 3, attempt: 0 },
    { offset: 5n, tailLines: 0, attempt: 2 },
  ]);
});
