import { randomBytes } from 'node:crypto';
import { readdir, rm, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { acceptLoss } from './accept-loss.ts';
import type { OpenFault } from './faulty-store.ts';
import { FaultyDisk, openFaultyStore } from './faulty-store.ts';
import { readHead } from './head-witness.ts';
import { initialiseStore, openStore } from './level-store.ts';
import type { Store } from './store.ts';
import { StoreError } from './store.ts';
import { databasePath, writeAheadLogs } from './store-layout.ts';
import { commitNext, fillDisk, keyOf, overwrite, SMALL, smallDisk } from './testing.ts';

/**
 * The fault model is worth as much as it agrees with LevelDB: the same scripts run against both, and everything that a
 * control plane can observe must be the same. (A failed sync is not among them: no file system here fails one on demand.)
 */
type Step =
  | { readonly do: 'commit' }
  | { readonly do: 'fill disk' }
  | { readonly do: 'free disk' }
  | { readonly do: 'accept loss' }
  | { readonly do: 'reopen'; readonly damage?: OpenFault };

/** What a script needs of a store and of the disk under it. */
interface Subject {
  /** `offsets`: where each batch of the log begins. */
  open(damage: OpenFault | undefined, offsets: readonly number[]): Promise<Store>;
  /** Where the next batch begins in the log. */
  logEnd(): Promise<number>;
  /** `store`: the open one, if any. */
  fillDisk(store: Store | undefined): Promise<void>;
  freeDisk(): Promise<void>;
}

/** Larger than two blocks of LevelDB's log, so that one lies within the batch and can be damaged without its neighbours. */
const BATCH_BYTES = 70 * 1024;
const MAX_STEPS = 16;
/** One log holds a whole script, so that LevelDB loses exactly what it is told to lose. */
const OPTIONS = { ...SMALL, writeBufferBytes: 4 * 1024 * 1024, ballastBytes: 4 * 1024 * 1024 };

class RealDisk implements Subject {
  readonly #root: string;
  readonly #dir: string;
  readonly #options: typeof OPTIONS;
  readonly #fillers: string[] = [];

  constructor(root: string, options = OPTIONS) {
    this.#root = root;
    this.#dir = join(root, 'store');
    this.#options = options;
  }

  async initialise(): Promise<void> {
    await initialiseStore(this.#dir, { ...this.#options, clusterId: 'test' });
  }

  async open(damage: OpenFault | undefined, offsets: readonly number[]): Promise<Store> {
    const log = await this.#log();
    if (damage?.kind === 'lost-tail') await truncate(log, offsets[Math.max(0, offsets.length - damage.batches)]);
    if (damage?.kind === 'hole') {
      for (const offset of offsets.slice(damage.from, damage.from + damage.batches))
        await overwrite(log, offset + 35_000, 100);
    }
    // Neither does the damage itself make room.
    const ballastHeld = (await readdir(this.#dir)).includes('BALLAST');
    if (this.#fillers.length > 0 && ballastHeld) await this.#fill();
    return openStore(this.#dir, this.#options);
  }

  async logEnd(): Promise<number> {
    return (await stat(await this.#log())).size;
  }

  async fillDisk(store: Store | undefined): Promise<void> {
    // HEAD is written a moment after the commit, and cannot be on a full disk; the model's is written at once.
    if (store?.integrity.kind === 'whole') await expect.poll(() => readHead(this.#dir)).toEqual(store.position);
    if (this.#fillers.length === 0) await this.#fill();
  }

  async freeDisk(): Promise<void> {
    for (const filler of this.#fillers.splice(0)) await rm(filler);
  }

  async #fill(): Promise<void> {
    this.#fillers.push(await fillDisk(join(this.#root, `filler-${this.#fillers.length}`)));
  }

  async #log(): Promise<string> {
    return join(databasePath(this.#dir), (await writeAheadLogs(this.#dir)).toSorted().at(-1) ?? '');
  }
}

class ModelDisk implements Subject {
  #full = false;
  #ballastHeld = true;
  /** Room to open: the ballast, or what its release has left free. */
  #roomToOpen = true;
  #damage: OpenFault | undefined;
  readonly #disk = new FaultyDisk({
    clusterId: 'test',
    faults: {
      commit: () => {
        if (this.#full) return this.#ballastHeld ? 'append' : 'full';
        this.#ballastHeld = true;
        return undefined;
      },
      open: () => (this.#full && !this.#roomToOpen ? { kind: 'full' } : this.#damage),
    },
  });

  async open(damage: OpenFault | undefined): Promise<Store> {
    this.#damage = damage;
    const store = await openFaultyStore(this.#disk);
    this.#ballastHeld = !this.#full;
    return store;
  }

  async logEnd(): Promise<number> {
    return 0;
  }

  async fillDisk(): Promise<void> {
    if (!this.#full) this.#roomToOpen = this.#ballastHeld;
    this.#full = true;
  }

  async freeDisk(): Promise<void> {
    this.#full = false;
  }
}

/** Runs the script and returns everything that can be observed. */
async function run(subject: Subject, steps: readonly Step[]): Promise<string[]> {
  const trace: string[] = [];
  let store: Store | undefined;
  let offsets: number[] = [];
  let committed = 0;

  const attempt = async <T>(act: () => Promise<T>): Promise<{ readonly value: T } | undefined> => {
    try {
      const value = await act();
      trace.push('ok');
      return { value };
    } catch (error) {
      // A refusal by the commit rules is a RangeError, which is to be the same on both sides too.
      trace.push(error instanceof StoreError ? error.code : error instanceof RangeError ? 'RangeError' : String(error));
      return undefined;
    }
  };

  const reopen = async (damage?: OpenFault): Promise<void> => {
    await store?.close();
    store = undefined;
    const logged = offsets;
    offsets = [];
    const within = clamp(damage, logged.length);
    store = (await attempt(() => subject.open(within, logged)))?.value;
    if (store === undefined) return;
    // LevelDB's source of the witness is a path.
    const integrity = store.integrity.kind === 'behind' ? { ...store.integrity, source: 'HEAD' } : store.integrity;
    trace.push(JSON.stringify(store.position), JSON.stringify(integrity), await keysOf(store));
  };

  await reopen();
  for (const step of steps) {
    trace.push(step.do);
    if (step.do === 'reopen') await reopen(step.damage);
    else if (step.do === 'fill disk') await subject.fillDisk(store);
    else if (step.do === 'free disk') await subject.freeDisk();
    else if (store === undefined) trace.push('no store');
    else {
      const live: Store = store;
      const offset = await subject.logEnd();
      if (step.do === 'commit') {
        const change = { key: keyOf(`k${committed++}`), value: randomBytes(BATCH_BYTES) };
        if (await attempt(() => commitNext(live, change))) offsets.push(offset);
      } else {
        // The batch that accepts is small and would be damaged together with a neighbour: move it to the tables.
        await attempt(() => acceptLoss(live));
        await reopen();
      }
    }
  }
  await store?.close();
  return trace;
}

/** Damage only where the log has batches. */
function clamp(damage: OpenFault | undefined, logged: number): OpenFault | undefined {
  if (damage === undefined || damage.kind === 'full' || logged === 0) return undefined;
  if (damage.kind === 'lost-tail') return { ...damage, batches: Math.min(damage.batches, logged) };
  const from = damage.from % logged;
  return { ...damage, from, batches: Math.min(damage.batches, logged - from) };
}

async function keysOf(store: Store): Promise<string> {
  const keys: string[] = [];
  for await (const page of store.scan({ gte: keyOf('k'), lt: keyOf('l') })) {
    for (const { key, value } of page) keys.push(`${Buffer.from(key).toString()}:${value.byteLength}`);
  }
  return keys.join(' ');
}

const count = fc.integer({ min: 1, max: 3 });
const damage: fc.Arbitrary<OpenFault> = fc.oneof(
  fc.record({ kind: fc.constant('lost-tail' as const), batches: count }),
  fc.record({ kind: fc.constant('hole' as const), from: fc.nat(10), batches: count }),
);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 10, arbitrary: fc.constant({ do: 'commit' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'fill disk' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'free disk' as const }) },
  { weight: 2, arbitrary: fc.constant({ do: 'accept loss' as const }) },
  { weight: 2, arbitrary: fc.constant({ do: 'reopen' as const }) },
  { weight: 3, arbitrary: damage.map((fault) => ({ do: 'reopen' as const, damage: fault })) },
);

test('property: LevelDB and the fault model agree on every script of faults', async () => {
  await using disk = await smallDisk(12);
  let runs = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: MAX_STEPS }), async (steps) => {
      const root = join(disk.path, `run${runs++}`);
      const real = new RealDisk(root);
      await real.initialise();
      try {
        expect(await run(real, steps)).toEqual(await run(new ModelDisk(), steps));
      } finally {
        await real.freeDisk();
        await rm(root, { recursive: true, force: true });
      }
    }),
    { numRuns: 25 },
  );
});

test('one script with every fault', async () => {
  await using disk = await smallDisk(12);
  const real = new RealDisk(disk.path);
  await real.initialise();
  const commit: Step = { do: 'commit' };
  const fill: Step = { do: 'fill disk' };
  const free: Step = { do: 'free disk' };
  const accept: Step = { do: 'accept loss' };
  const reopen: Step = { do: 'reopen' };
  const loseTail: Step = { do: 'reopen', damage: { kind: 'lost-tail', batches: 1 } };
  const makeHole: Step = { do: 'reopen', damage: { kind: 'hole', from: 1, batches: 1 } };
  const fullDisk = [commit, commit, commit, fill, commit, commit, reopen, commit, free, commit, commit];
  const lostTail = [loseTail, commit, accept, commit, commit, commit];
  const hole = [makeHole, commit, accept, commit, reopen];
  const script = [...fullDisk, ...lostTail, ...hole];
  const trace = await run(real, script);
  expect(trace).toEqual(await run(new ModelDisk(), script));
  for (const seen of ['WRITE_FAILED', 'DEAD', 'FULL', 'RangeError']) expect(trace).toContain(seen);
  expect(trace.join()).toMatch(/"behind".*"hole".*"epoch":3/);
});
