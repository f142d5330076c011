import { afterEach, beforeEach, expect, it } from 'vitest';
import { FaultyDisk, openFaultyStore } from '../store/faulty-store.ts';
import { EVENT_RING_LIMITS, EventLog, type EventSubscription, MAX_SUBSCRIPTIONS } from './event-log.ts';
import { createQueue, loadQueueCore } from './testing/queue-core.ts';
import { TurnLoop } from './turn-loop.ts';

// On the smallest core there is: each queue that is made is an event.

let loop: TurnLoop;
let log: EventLog;
let fault: 'append' | 'sync' | undefined;
let stop: AbortController;
let held: Promise<void> | undefined;

beforeEach(async () => {
  fault = undefined;
  held = undefined;
  stop = new AbortController();
  const disk = new FaultyDisk({
    clusterId: 'test',
    faults: { commit: () => fault },
  });
  loop = await TurnLoop.start({
    idleTickMs: 20,
    open: async () => {
      fault = undefined;
      const store = await openFaultyStore(disk, { sync: () => held ?? Promise.resolve() });
      return { store, core: await loadQueueCore(store) };
    },
  });
  log = new EventLog(loop);
});
afterEach(async () => {
  stop.abort();
  await loop.close();
});

const make = (name: string) => loop.apply(createQueue(name));

/** The next names of a subscription, as many as asked for. */
async function names(subscription: EventSubscription, count: number): Promise<string[]> {
  const seen: string[] = [];
  if (count === 0) return seen;
  for await (const { events } of subscription) {
    seen.push(...events.flatMap((event) => (event.kind === 'node' ? [event.node] : [])));
    if (seen.length >= count) break;
  }
  return seen;
}

it('tells what happens from now on', async () => {
  await make('before');
  const subscription = log.subscribe(undefined, stop.signal);
  await make('a');
  await make('b');
  expect(await names(subscription, 2)).toEqual(['a', 'b']);
});

it('goes on behind any position that was given, without a gap', async () => {
  const start = log.subscribe(undefined, stop.signal).position;
  for (const name of ['a', 'b', 'c']) await make(name);
  const positions = [start];
  for await (const { position } of log.subscribe(start, stop.signal)) if (positions.push(position) === 4) break;
  for (const [at, position] of positions.entries()) {
    const rest = ['a', 'b', 'c'].slice(at);
    expect(await names(log.subscribe(position, stop.signal), rest.length)).toEqual(rest);
  }
});

it('tells nothing before it is durable', async () => {
  const subscription = log.subscribe(undefined, stop.signal);
  const { promise, resolve } = Promise.withResolvers<void>();
  held = promise;
  const made = make('a');
  let told = false;
  const first = names(subscription, 1).then((seen) => {
    told = true;
    return seen;
  });
  const { promise: applied, resolve: onApplied } = Promise.withResolvers<void>();
  const end = loop.listen({ applied: () => onApplied() });
  await applied;
  end();
  await new Promise(setImmediate);
  expect(told).toBe(false);
  resolve();
  await made;
  expect(await first).toEqual(['a']);
});

it('refuses positions that it cannot go on from, and says how to begin anew', async () => {
  const { position } = log.subscribe(undefined, stop.signal);
  await make('a');
  const late = new EventLog(loop);
  const { epoch, sequence } = position;
  const refused = (after: { epoch: number; sequence: number }) => () => late.subscribe(after, stop.signal);
  expect(refused({ epoch, sequence })).toThrow(
    /before this control plane's start: read the position .* list .* subscribe/,
  );
  expect(refused({ epoch: epoch - 1, sequence: 9 })).toThrow(/another epoch/);
  expect(refused({ epoch, sequence: sequence + 9 })).toThrow(/is beyond/);
});

it('ends a subscription that is slower than what is remembered', async () => {
  log = new EventLog(loop, { limits: { ...EVENT_RING_LIMITS, events: 2 } });
  const events = log.subscribe(undefined, stop.signal)[Symbol.asyncIterator]();
  const first = events.next();
  await make('a');
  expect((await first).done).toBe(false);
  for (const name of ['b', 'c', 'd']) await make(name);
  await expect(events.next()).rejects.toMatchObject({ code: 'EXPIRED', message: expect.stringMatching(/fell behind/) });
});

it('takes so many subscriptions and no more', async () => {
  const all = Array.from({ length: MAX_SUBSCRIPTIONS }, () =>
    log.subscribe(undefined, stop.signal)[Symbol.asyncIterator]().next(),
  );
  expect(() => log.subscribe(undefined, stop.signal)).toThrow(/1000 subscriptions/);
  stop.abort();
  await Promise.all(all);
  expect(() => log.subscribe(undefined, new AbortController().signal)).not.toThrow();
});

it('never tells of a turn that was lost, and goes on with the next', async () => {
  const subscription = log.subscribe(undefined, stop.signal);
  fault = 'append';
  await make('lost').catch(() => undefined);
  await rebuilt();
  await make('kept');
  expect(await names(subscription, 1)).toEqual(['kept']);
});

it('tells its readers to begin anew when a turn of unknown outcome turns out to be there', async () => {
  const subscription = log.subscribe(undefined, stop.signal);
  fault = 'sync';
  await make('there').catch(() => undefined);
  await rebuilt();
  expect(loop.view.queue('default', 'there')).toBeDefined();
  await expect(names(subscription, 1)).rejects.toMatchObject({ code: 'EXPIRED' });
});

it('ends with the loop', async () => {
  const next = names(log.subscribe(undefined, stop.signal), 1);
  await loop.close();
  await expect(next).rejects.toMatchObject({ code: 'CLOSED' });
});

/** Resolves when the loop runs again after a failed commit. */
async function rebuilt(): Promise<void> {
  while (loop.statistics.rebuilds === 0) await new Promise(setImmediate);
}
