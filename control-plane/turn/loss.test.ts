import { expect, it } from 'vitest';
import { FaultyDisk, openFaultyStore } from '../store/faulty-store.ts';
import { loadCore } from './load.ts';
import { TurnLoop } from './turn-loop.ts';

const environment = (name: string) =>
  ({
    kind: 'createEnvironment',
    account: 'default',
    name,
    settings: { enabled: true, placement: 'pack', tags: {} },
  }) as const;

/** A disk that loses its last batches when it is opened for the second time. */
function forgetfulDisk(): FaultyDisk {
  let opened = 0;
  return new FaultyDisk({
    clusterId: 'test',
    faults: { open: () => (++opened === 2 ? { kind: 'lost-tail', batches: 2 } : undefined) },
  });
}

const start = (disk: FaultyDisk) =>
  TurnLoop.start({
    idleTickMs: 5,
    open: async () => {
      const store = await openFaultyStore(disk);
      return { store, core: await loadCore(store, { wallMs: Date.now() }) };
    },
  });

it('a store from which work is missing is read and nothing else, until an operator accepts the loss', async () => {
  const disk = forgetfulDisk();
  const first = await start(disk);
  for (const name of ['a', 'b', 'c', 'd']) await first.apply(environment(name));
  await first.close();

  const loop = await start(disk);
  try {
    const read = await loop.read((view) => ({
      names: view.environments('default').map(({ name }) => name),
      causes: view.status().pauses.map(({ cause }) => cause),
    }));
    expect(read).toEqual({ names: ['a', 'b'], causes: ['loss'] });
    await expect(loop.apply(environment('e'))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    const resume = { kind: 'resume', acceptLoss: false, waiveMissingNodes: true } as const;
    await expect(loop.apply(resume)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    const before = loop.statistics.turns;
    while (loop.statistics.turns < before + 3) await new Promise((resolve) => setImmediate(resolve));

    expect(await loop.apply({ ...resume, acceptLoss: true })).toMatchObject({ pauses: [] });
    expect(loop.store.position).toEqual({ epoch: 2, sequence: 1 });
    expect(await loop.apply(environment('e'))).toEqual({ ok: true });
    expect(loop.statistics).toMatchObject({ rebuilds: 0 });
  } finally {
    await loop.close();
  }
});
