import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import type { Output } from '../core/types.ts';
import { type Faults, FaultyDisk, openFaultyStore, randomFaults } from '../store/faulty-store.ts';
import { openStore } from '../store/level-store.ts';
import { StoreError } from '../store/store.ts';
import { newStore, SMALL, testDirectory } from '../store/testing.ts';
import { createQueue, loadQueueCore } from './testing/queue-core.ts';
import { MAX_WAITING } from './turn-limits.ts';
import { TurnLoop } from './turn-loop.ts';
import { TurnError } from './turns.ts';

const loops: TurnLoop[] = [];
afterEach(async () => {
  for (const loop of loops.splice(0)) await loop.close();
});

/** A gate that commits wait at. */
class Gate {
  #open = true;
  #waiting: (() => void)[] = [];
  readonly reached: Promise<void>;
  readonly #arrive: () => void;

  constructor() {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.reached = promise;
    this.#arrive = resolve;
  }

  readonly pass = (): Promise<void> => {
    if (this.#open) return Promise.resolve();
    this.#arrive();
    return new Promise((resolve) => this.#waiting.push(resolve));
  };

  shut(): void {
    this.#open = false;
  }

  open(): void {
    this.#open = true;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

async function startOn(disk: FaultyDisk, sync?: () => Promise<void>): Promise<TurnLoop> {
  const loop = await TurnLoop.start({
    idleTickMs: 10,
    open: async () => {
      const store = await openFaultyStore(disk, sync === undefined ? {} : { sync });
      return { store, core: await loadQueueCore(store) };
    },
  });
  loops.push(loop);
  return loop;
}

const start = (faults: Faults = {}, sync?: () => Promise<void>) =>
  startOn(new FaultyDisk({ clusterId: 'test', faults }), sync);

const turn = () => new Promise((resolve) => setImmediate(resolve));

const nodesOf = (outputs: readonly Output[]) =>
  outputs.flatMap((output) => (output.kind === 'nodeChanged' ? [output.node] : []));

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return 'ok';
  } catch (error) {
    if (error instanceof TurnError) return error.code;
    throw error;
  }
}

describe('a turn', () => {
  it('answers nothing before it is durable', async () => {
    const gate = new Gate();
    const loop = await start({}, gate.pass);
    gate.shut();
    let answered = false;
    const reply = loop.apply(createQueue('a')).then((value) => {
      answered = true;
      return value;
    });
    await gate.reached;
    expect(loop.view.queue('default', 'a')).toBeDefined();
    const read = loop.read((view) => view.queue('default', 'a') !== undefined).then((value) => [answered, value]);
    await turn();
    expect(answered).toBe(false);
    gate.open();
    expect(await reply).toEqual({ ok: true });
    expect(await read).toEqual([true, true]);
  });

  it('gathers what arrives during a commit into one next commit', async () => {
    const gate = new Gate();
    const loop = await start({}, gate.pass);
    gate.shut();
    const first = loop.apply(createQueue('first'));
    await gate.reached;
    const before = loop.statistics.commits;
    const rest = Array.from({ length: 500 }, (_, index) => loop.apply(createQueue(`q${index}`)));
    await turn();
    await turn();
    expect(loop.statistics.commits).toBe(before);
    gate.open();
    await Promise.all([first, ...rest]);
    expect(loop.statistics.commits).toBe(before + 1);
  });

  it('releases replies and outputs in the order of the inputs', async () => {
    const loop = await start();
    const released: string[] = [];
    const applied: string[] = [];
    loop.listen({
      applied: (outputs) => void applied.push(...nodesOf(outputs)),
      released: (outputs) => void released.push(...nodesOf(outputs)),
    });
    const names = Array.from({ length: 300 }, (_, index) => `q${index}`);
    const order: string[] = [];
    const replies: Promise<unknown>[] = [];
    for (const name of names) {
      replies.push(loop.apply(createQueue(name)).then(() => order.push(name)));
      if (order.length % 50 === 49) await turn();
    }
    await Promise.all(replies);
    expect(order).toEqual(names);
    expect(applied).toEqual(names);
    expect(released).toEqual(names);
  });

  it('without changes is not committed', async () => {
    const loop = await start();
    await loop.apply({ kind: 'pause', reason: '' });
    expect(loop.statistics).toMatchObject({ inputs: 1, commits: 0 });
  });

  it('begins with a tick, whose wall time never decreases', async () => {
    const disk = new FaultyDisk({ clusterId: 'test' });
    const store = await openFaultyStore(disk);
    const core = await loadQueueCore(store);
    const walls = [1000, 3000, 2000, 4000];
    let elapsed = 0;
    const loop = await TurnLoop.start({
      idleTickMs: 1,
      clock: { wallMs: () => walls.shift() ?? 5000, elapsedMs: () => (elapsed += 0.75) },
      open: async () => ({ store, core }),
    });
    loops.push(loop);
    while (core.ticks.length < 5) await turn();
    expect(core.ticks.slice(0, 5).map(({ wallMs }) => wallMs)).toEqual([1000, 3000, 3000, 4000, 5000]);
    const sum = core.ticks.reduce((total, { elapsedMs }) => total + elapsedMs, 0);
    expect(elapsed - sum).toBeLessThan(10);
    expect(core.ticks.every(({ elapsedMs }) => Number.isInteger(elapsedMs))).toBe(true);
  });

  it('is refused whole when too much waits', async () => {
    const gate = new Gate();
    const loop = await start({}, gate.pass);
    const all = Array.from({ length: MAX_WAITING }, () => loop.apply({ kind: 'pause', reason: '' }));
    expect(await codeOf(loop.apply(createQueue('late')))).toBe('OVERLOADED');
    await Promise.all(all);
    expect(await codeOf(loop.apply(createQueue('later')))).toBe('ok');
  });

  it('that was accepted is finished by close', async () => {
    const disk = new FaultyDisk({ clusterId: 'test' });
    const loop = await startOn(disk);
    const replies = Array.from({ length: 100 }, (_, index) => loop.apply(createQueue(`q${index}`)));
    await loop.close();
    expect(await Promise.all(replies)).toHaveLength(100);
    expect(await codeOf(loop.apply(createQueue('late')))).toBe('CLOSED');
    const again = await startOn(disk);
    expect(again.view.queues('default')).toHaveLength(100);
  });
});

describe('a commit that fails', () => {
  it.each([
    ['append', false],
    ['sync', true],
  ] as const)('by %s: rejects what waited as unknown, and goes on from what is on disk', async (fault, isThere) => {
    let armed = false;
    const loop = await start({
      commit: () => {
        if (!armed) return undefined;
        armed = false;
        return fault;
      },
    });
    const events: string[] = [];
    loop.listen({ lost: () => events.push('lost'), rebuilt: () => events.push('rebuilt') });
    await loop.apply(createQueue('before'));
    armed = true;
    const doomed = loop.apply(createQueue('doomed'));
    const read = doomed.catch(() => loop.read(() => 'answer'));
    expect(await codeOf(doomed)).toBe('OUTCOME_UNKNOWN');
    expect(await codeOf(read)).toBe('UNAVAILABLE');
    while (events.length < 2) await turn();
    expect(events).toEqual(['lost', 'rebuilt']);
    const names = await loop.read((view) => view.queues('default').map(({ name }) => name));
    expect(names).toEqual(isThere ? ['before', 'doomed'] : ['before']);
    const again = await loop.apply(createQueue('doomed'));
    expect(again).toMatchObject({ ok: !isThere });
    expect(loop.statistics.rebuilds).toBe(1);
  });

  it('for want of room is repeated until there is some', async () => {
    let full = true;
    const { promise: refused, resolve } = Promise.withResolvers<void>();
    const loop = await start({
      commit: () => {
        if (full) resolve();
        return full ? 'full' : undefined;
      },
    });
    const waits = loop.apply(createQueue('waits'));
    await refused;
    await turn();
    expect(await codeOf(loop.apply(createQueue('refused')))).toBe('UNAVAILABLE');
    full = false;
    expect(await waits).toEqual({ ok: true });
    expect(await codeOf(loop.apply(createQueue('after')))).toBe('ok');
    expect(loop.statistics.rebuilds).toBe(0);
  });

  it('stops the loop when the store cannot be opened again', async () => {
    const disk = new FaultyDisk({ clusterId: 'test', faults: { commit: () => 'append' } });
    let opened = 0;
    const loop = await TurnLoop.start({
      open: async () => {
        if (opened++ > 0) throw new StoreError('CORRUPT', 'CURRENT is gone');
        const store = await openFaultyStore(disk);
        return { store, core: await loadQueueCore(store) };
      },
    });
    expect(await codeOf(loop.apply(createQueue('a')))).toBe('OUTCOME_UNKNOWN');
    expect(await loop.stopped).toMatchObject({ code: 'CORRUPT' });
    expect(await codeOf(loop.apply(createQueue('a')))).toBe('CLOSED');
  });

  it('is a failed assertion of the core, too', async () => {
    const loop = await start();
    await loop.apply(createQueue('a'));
    const doomed = loop.apply(createQueue('explode'));
    const beside = loop.apply(createQueue('b'));
    expect(await codeOf(doomed)).toBe('OUTCOME_UNKNOWN');
    expect(['OUTCOME_UNKNOWN', 'UNAVAILABLE']).toContain(await codeOf(beside));
    while (loop.statistics.rebuilds === 0) await turn();
    expect(await loop.read((view) => view.queues('default').length)).toBe(1);
  });
});

describe('over LevelDB', () => {
  it('keeps what was acknowledged over a restart', async () => {
    await using directory = await testDirectory();
    const dir = `${directory.path}/store`;
    await (await newStore(dir)).close();
    const open = async () => {
      const store = await openStore(dir, SMALL);
      return { store, core: await loadQueueCore(store) };
    };
    const loop = await TurnLoop.start({ open });
    await Promise.all(Array.from({ length: 1000 }, (_, index) => loop.apply(createQueue(`q${index}`))));
    await loop.close();
    expect(await loop.stopped).toBeUndefined();
    const again = await TurnLoop.start({ open });
    loops.push(again);
    expect(again.view.queues('default')).toHaveLength(1000);
  });
});

it('whatever the store does: what was acknowledged is there, and what was told to be undone is not', async () => {
  await fc.assert(
    fc.asyncProperty(fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true })), async (stream) => {
      const random = () => (stream.next() as IteratorYieldResult<number>).value;
      const disk = new FaultyDisk({
        clusterId: 'test',
        faults: randomFaults(random, { append: 0.05, sync: 0.05, full: 0.05, fullAtOpen: 0.1 }),
      });
      const loop = await TurnLoop.start({
        open: async () => {
          const store = await openFaultyStore(disk);
          return { store, core: await loadQueueCore(store) };
        },
      }).catch(() => undefined);
      if (loop === undefined) return;
      const outcomes = new Map<string, string>();
      const calls: Promise<void>[] = [];
      for (let index = 0; index < 60; index++) {
        const name = `q${index}`;
        calls.push(codeOf(loop.apply(createQueue(name))).then((code) => void outcomes.set(name, code)));
        if (index % 7 === 0) await turn();
      }
      await Promise.all(calls);
      await loop.close();
      const calm = new Set<string>();
      for (const entries of await openCalmly(disk)) calm.add(entries);
      const withCode = (...codes: string[]) =>
        [...outcomes].filter(([, code]) => codes.includes(code)).map(([name]) => name);
      expect(withCode('ok').filter((name) => !calm.has(name))).toEqual([]);
      expect(withCode('UNAVAILABLE', 'CLOSED').filter((name) => calm.has(name))).toEqual([]);
    }),
    { numRuns: 40 },
  );
});

async function openCalmly(disk: FaultyDisk): Promise<string[]> {
  for (;;) {
    try {
      const store = await openFaultyStore(disk);
      const core = await loadQueueCore(store);
      await store.close();
      return core.view.queues('default').map(({ name }) => name);
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== 'FULL') throw error;
    }
  }
}
