import { afterEach, beforeEach, expect, it } from 'vitest';
import { EndCause, type JobIdBytes, JobState, type NewJob, type NodeConnected } from '../core/types.ts';
import { FaultyDisk, openFaultyStore } from '../store/faulty-store.ts';
import { loadCore } from './load.ts';
import { TurnLoop } from './turn-loop.ts';
import { JobWatcher, type WatchEvent } from './watch.ts';

let loop: TurnLoop;
let watcher: JobWatcher;
let failing = false;

beforeEach(async () => {
  failing = false;
  const disk = new FaultyDisk({ clusterId: 'test', faults: { commit: () => (failing ? 'append' : undefined) } });
  loop = await TurnLoop.start({
    idleTickMs: 20,
    open: async () => {
      failing = false;
      const store = await openFaultyStore(disk);
      return { store, core: await loadCore(store, { wallMs: Date.now() }) };
    },
  });
  watcher = new JobWatcher(loop);
  const name = { account: 'default', name: 'default' };
  await loop.apply({ kind: 'createEnvironment', ...name, settings: { enabled: true, placement: 'pack', tags: {} } });
  const settings = { priority: 1, enabled: true, environments: ['default'], tags: {} };
  await loop.apply({ kind: 'createQueue', ...name, settings });
});
afterEach(() => loop.close());

const newId = () => crypto.getRandomValues(new Uint8Array(16));

async function submit(): Promise<JobIdBytes> {
  const job: NewJob = {
    id: newId(),
    account: 'default',
    queue: 'default',
    definition: 'default:1',
    user: 'ada',
    name: 'job',
    requirements: { milliVcpu: 1000, memoryBytes: 1024, named: [], features: [] },
    retry: { attempts: 1, rules: [] },
    onNodeLost: 1,
    priority: 0,
    hold: false,
    dependsOn: [],
    spec: new Uint8Array(),
    digest: new Uint8Array(16),
    ended: undefined,
  };
  await loop.apply({ kind: 'submitJobs', mode: 'each', jobs: [job], submittedBy: 'a', factsTurn: loop.view.turn });
  return job.id;
}

const NODE = { account: 'default', node: 'n1', session: 1 };
const connect = () => {
  const input: NodeConnected = {
    kind: 'nodeConnected',
    ...NODE,
    environment: 'default',
    incarnation: 'i',
    bootId: 'b',
    offer: { milliVcpu: 4000, memoryBytes: 1 << 30, named: [], features: [], takesJobs: true },
    credit: 10,
    watermark: 0,
    witness: { epoch: 0, sequence: 0 },
    completeHistory: true,
    historyContinues: false,
    attempts: [],
  };
  return loop.apply(input);
};

const cancel = (id: JobIdBytes) =>
  loop.apply({ kind: 'cancelJobs', jobs: [id], reason: 'r', mode: 'terminate', graceSeconds: undefined });

const show = (event: WatchEvent) => (event.kind === 'live' ? event.job.state : 'ended');

async function all(watch: AsyncIterable<readonly WatchEvent[]>): Promise<unknown[]> {
  const seen: unknown[] = [];
  for await (const events of watch) seen.push(...events.map(show));
  return seen;
}

it('shows what is alive, names what is not, and ends with the last job', async () => {
  const [id, stranger] = [await submit(), newId()];
  const watch = await watcher.watch([id, stranger]);
  expect(watch.live).toMatchObject([{ id, state: JobState.runnable }]);
  expect(watch.absent).toEqual([stranger]);
  const seen = all(watch);
  await connect();
  const job = await loop.read((view) => view.job(id));
  expect(job?.state).toBe(JobState.starting);
  const report = {
    jobId: id,
    childIndex: -1,
    attempt: 1,
    phase: 'ended' as const,
    startDelayMs: 1,
    runDurationMs: 1,
    ageMs: 0,
    outcome: {
      cause: EndCause.exited,
      exitCode: 0,
      signal: undefined,
      reason: '',
      peakMemoryBytes: undefined,
      cpuTimeUs: undefined,
      imageDigest: '',
      logLengths: [],
    },
    rejection: undefined,
    placementSequence: 1,
    jobName: '',
    jobNumber: 1,
    resourcesReleased: true,
  };
  await loop.apply({ kind: 'nodeReports', ...NODE, sequence: 1, historyEnded: false, reports: [report] });
  expect(await seen).toEqual([JobState.starting, 'ended']);
});

it('ends at once when nothing that it names is alive', async () => {
  const id = await submit();
  await cancel(id);
  const watch = await watcher.watch([id]);
  expect(watch.absent).toEqual([id]);
  expect(await all(watch)).toEqual([]);
});

it('keeps only the latest of a job for a slow reader, and never loses its end', async () => {
  const id = await submit();
  const watch = await watcher.watch([id]);
  for (let round = 0; round < 50; round++) {
    await loop.apply({ kind: 'holdJobs', jobs: [id] });
    await loop.apply({ kind: 'releaseJobs', jobs: [id] });
  }
  await cancel(id);
  expect(await all(watch)).toEqual(['ended']);
});

it('is closed by its signal', async () => {
  const stop = new AbortController();
  const watch = await watcher.watch([await submit()], stop.signal);
  const seen = all(watch);
  stop.abort();
  expect(await seen).toEqual([]);
});

it('tells nothing of a turn that was never durable, and that it was cut off', async () => {
  const id = await submit();
  const watch = await watcher.watch([id]);
  const seen = all(watch);
  failing = true;
  await cancel(id).catch(() => undefined);
  await expect(seen).rejects.toMatchObject({ code: 'UNAVAILABLE' });
});
