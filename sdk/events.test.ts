import { EventService, JobState, NodeState } from '@galley/proto';
import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { connectGalley, type GalleyClient } from './client.ts';
import type { GalleyEvent, Position } from './events.ts';
import { type FakeControlPlane, Refusal, startFakeControlPlane } from './testing/fake-control-plane.ts';

let server: FakeControlPlane;
let client: GalleyClient;

beforeEach(async () => {
  server = await startFakeControlPlane();
  client = connectGalley({
    address: server.address,
    token: 't',
    env: {},
    retry: { initialBackoffMs: 1, maxBackoffMs: 2 },
  });
});
afterEach(async () => {
  client.close();
  await server.stop();
});

const at = (sequence: number) => ({ epoch: 1n, sequence: BigInt(sequence) });
const job = (number: number) =>
  ({
    atMs: 5n,
    event: {
      case: 'job',
      value: { job: { number: BigInt(number), state: JobState.RUNNING }, previousState: JobState.STARTING },
    },
  }) as const;

it('goes on behind the last position after a lost connection, and gives plain values', async () => {
  const asked: unknown[] = [];
  const stop = new AbortController();
  server.on(EventService, {
    async *subscribeEvents({ after, jobQueue }, { signal }) {
      asked.push([after?.sequence, jobQueue]);
      if (asked.length === 1) {
        yield { position: at(3), events: [] };
        yield { position: at(4), events: [job(1)] };
        throw new Refusal({ code: status.UNAVAILABLE, message: 'restart' });
      }
      const node = { node: 'n1', state: NodeState.LOST, previousState: NodeState.SILENT, reason: 'gone' };
      yield { position: at(5), events: [job(2), { atMs: 6n, event: { case: 'node', value: node } }] };
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
    },
  });
  const seen: GalleyEvent[] = [];
  const positions: Position[] = [];
  const onPosition = (position: Position) => positions.push(position);
  for await (const event of client.events({ queue: 'q', signal: stop.signal, onPosition })) {
    seen.push(event);
    if (seen.length === 3) break;
  }
  expect(asked).toEqual([
    [undefined, 'q'],
    [4n, 'q'],
  ]);
  expect(seen).toMatchObject([
    {
      atMs: 5,
      position: { epoch: 1, sequence: 4 },
      job: { job: { number: 1, state: 'RUNNING' }, previousState: 'STARTING' },
    },
    { position: { epoch: 1, sequence: 5 }, job: { job: { number: 2 } } },
    { node: { node: 'n1', state: 'LOST', previousState: 'SILENT', reason: 'gone' } },
  ]);
  expect(positions.map(({ sequence }) => sequence)).toEqual([3, 4]);
  stop.abort();
});

it('throws when the position is not remembered, instead of skipping what was missed', async () => {
  server.on(EventService, {
    // biome-ignore lint/correctness/useYield: it refuses before it has anything to say
    async *subscribeEvents() {
      throw new Refusal({ code: status.OUT_OF_RANGE, message: 'list again', reason: 'CURSOR_EXPIRED' });
    },
  });
  const next = client.events({ after: { epoch: 1, sequence: 2 } }).next();
  await expect(next).rejects.toMatchObject({ code: 'OUT_OF_RANGE', reason: 'CURSOR_EXPIRED', message: 'list again' });
});
