import { describe, expect, it } from 'vitest';
import { MAX_CHILDREN } from '../limits.ts';
import { ChunkContent } from '../records/array-chunk.ts';
import { chunkOf, RANGE_ENDS } from '../records/keys.ts';
import { decodeRangeEnd } from '../records/range-end.ts';
import { attemptReport, EXITED_0, newJob, outcome, TestCluster, testId } from '../testing/cluster.ts';
import { DependencyType, EndCause, JobState, type NewArray, type NewJob, type PlaceOutput } from '../types.ts';

const RULES: NewArray = { size: 3, concurrency: 0, failFastAfter: 0, canary: 0, sequential: false };
const FAILED = outcome(EndCause.exited, 1);

function newArray(n: number, rules: Partial<NewArray>, overrides: Partial<NewJob> = {}): NewJob {
  return newJob(n, { array: { ...RULES, ...rules }, ...overrides });
}

function cluster(): TestCluster {
  const made = new TestCluster();
  made.connect('n1');
  return made;
}

/** The states of an array's children, in the order of their indices. */
function states(of: TestCluster, number: number): number[] {
  const all = [1, 2, 3, 4, 5, 6, 7] as JobState[];
  return (of.core.view.children(number, all, 0, 1_000) ?? []).map(({ state }) => state);
}

function end(of: TestCluster, placements: readonly PlaceOutput[], how = EXITED_0): void {
  for (const placement of placements) of.report(placement, 'ended', how);
  of.step();
}

const PENDING = JobState.pending;
const RUNNABLE = JobState.runnable;
const STARTING = JobState.starting;
const RUNNING = JobState.running;
const SUCCEEDED = JobState.succeeded;
const FAILED_STATE = JobState.failed;

describe('an array', () => {
  it('is one job whose children are placed one by one, and succeeds when all of them have', () => {
    const c = cluster();
    const number = c.accept(newArray(1, { size: 6 }));
    c.step();
    expect(c.placements().map(({ childIndex, number: n, attempt }) => [childIndex, n, attempt])).toEqual([
      [0, number, 1],
      [1, number, 1],
      [2, number, 1],
      [3, number, 1],
    ]);
    expect(c.core.view.job(testId(1))).toMatchObject({
      state: PENDING,
      array: { size: 6, counts: [0, 0, 2, 4, 0, 0, 0] },
    });
    const first = c.placements();
    c.report(first[0] as PlaceOutput, 'running');
    c.step();
    expect(states(c, number)).toEqual([RUNNING, STARTING, STARTING, STARTING, RUNNABLE, RUNNABLE]);
    expect(c.core.view.child(number, 0)).toMatchObject({ child: 0, state: RUNNING, node: 'n1', attempt: 1 });
    end(c, first);
    end(c, c.placements());
    expect(c.ended(1)).toMatchObject({
      state: SUCCEEDED,
      statusReason: '',
      array: { size: 6, succeeded: 6, failed: { size: 0 } },
    });
    expect(c.core.view.job(testId(1))).toBeUndefined();
  });

  it('fails with AWS Batch’s text when a child failed, and its other children go on until then', () => {
    const c = cluster();
    const number = c.accept(newArray(1, { size: 3 }));
    c.step();
    const [first, ...others] = c.placements() as [PlaceOutput, ...PlaceOutput[]];
    end(c, [first], FAILED);
    expect(states(c, number)).toEqual([FAILED_STATE, STARTING, STARTING]);
    expect(c.core.view.job(testId(1))?.state).toBe(PENDING);
    end(c, others);
    const over = c.ended(1);
    expect(over).toMatchObject({ state: FAILED_STATE, statusReason: 'Array Child Job failed' });
    expect(over.array?.failed.toString()).toBe('0');
  });

  it('tries a child again as its retry policy says, before children that have not begun', () => {
    const c = cluster();
    const number = c.accept(newArray(1, { size: 6 }, { retry: { attempts: 2, rules: [] } }));
    c.step();
    end(c, c.placements().slice(1, 2), FAILED);
    expect(c.placements().map(({ childIndex, attempt }) => [childIndex, attempt])).toEqual([[1, 2]]);
    end(c, c.placements(), FAILED);
    expect(c.core.view.children(number, [FAILED_STATE], 0, 10)).toEqual([{ child: 1, state: FAILED_STATE }]);
  });

  it('takes a child back that its node rejects, and uses up no attempt', () => {
    const c = cluster();
    const number = c.accept(newArray(1, { size: 1 }));
    c.step();
    c.report(c.placements()[0] as PlaceOutput, 'rejected');
    c.step();
    expect(c.core.view.child(number, 0)).toMatchObject({ state: RUNNABLE, attempt: 0 });
    c.step(1_000);
    expect(c.placements()).toMatchObject([{ childIndex: 0, attempt: 1 }]);
  });

  it('never has more children placed than its concurrency, over a restart too', () => {
    const c = cluster();
    const number = c.accept(newArray(1, { size: 5, concurrency: 2 }));
    c.step();
    expect(c.placements()).toHaveLength(2);
    const placed = c.placements();
    c.restart();
    c.connect('n1', { watermark: 2, attempts: [] });
    c.step();
    expect(c.core.view.job(testId(1))?.array?.counts).toEqual([0, 0, 3, 2, 0, 0, 0]);
    expect(states(c, number)).toEqual([STARTING, STARTING, RUNNABLE, RUNNABLE, RUNNABLE]);
    const again = c.outputs.filter((output) => output.kind === 'place');
    expect(again.map(({ childIndex, sequence }) => [childIndex, sequence])).toEqual(
      placed.map(({ childIndex, sequence }) => [childIndex, sequence]),
    );
    end(c, again.slice(0, 1));
    expect(c.placements().map(({ childIndex }) => childIndex)).toEqual([2]);
  });

  it('starts nothing more after so many failures as it allows', () => {
    const c = cluster();
    c.accept(newArray(1, { size: 100, failFastAfter: 2 }, { retry: { attempts: 3, rules: [] } }));
    c.step();
    for (let round = 0; round < 3; round++) end(c, c.placements(), FAILED);
    expect(c.ended(1)).toMatchObject({ state: FAILED_STATE, array: { succeeded: 0, failed: { size: 100 } } });
    expect(c.ended(1).statusReason).toContain('as many children had failed');
  });

  it('runs its canaries first, and the others only when all of these succeeded', () => {
    const good = cluster();
    const number = good.accept(newArray(1, { size: 5, canary: 2 }));
    good.step();
    expect(states(good, number)).toEqual([STARTING, STARTING, PENDING, PENDING, PENDING]);
    const canaries = good.placements();
    end(good, canaries.slice(0, 1));
    expect(good.placements()).toEqual([]);
    end(good, canaries.slice(1));
    expect(good.placements().map(({ childIndex }) => childIndex)).toEqual([2, 3, 4]);

    const bad = cluster();
    bad.accept(newArray(1, { size: 5, canary: 2 }));
    bad.step();
    end(bad, bad.placements().slice(0, 1), FAILED);
    end(bad, bad.outputs.length === 0 ? [] : bad.placements());
    expect(bad.core.view.job(testId(1))?.array?.counts).toEqual([0, 0, 0, 1, 0, 0, 4]);
  });

  it('is held and released as a whole', () => {
    const c = cluster();
    const number = c.accept(newArray(1, { size: 2 }, { hold: true }));
    c.step();
    expect(states(c, number)).toEqual([PENDING, PENDING]);
    c.apply({ kind: 'releaseJobs', jobs: [testId(1)] });
    c.step();
    expect(states(c, number)).toEqual([STARTING, STARTING]);
  });

  it('refuses more children than memory is meant for', () => {
    const c = cluster();
    const size = MAX_CHILDREN / 2;
    expect(c.submit(newArray(1, { size }))).toMatchObject([{ ok: true }]);
    expect(c.submit(newArray(2, { size: size + 1 }))).toMatchObject([{ ok: false, code: 'exhausted', field: 'array' }]);
  });
});

describe('dependencies of arrays', () => {
  it('let a job wait for a whole array, and a whole array for a job', () => {
    const c = cluster();
    c.accept(newJob(1));
    const number = c.accept(newArray(2, { size: 2 }, { dependsOn: [after(1)] }));
    c.accept(newJob(3, { dependsOn: [after(2)] }));
    c.step();
    expect(states(c, number)).toEqual([PENDING, PENDING]);
    end(c, c.placements());
    expect(states(c, number)).toEqual([STARTING, STARTING]);
    const [one, two] = c.placements() as [PlaceOutput, PlaceOutput];
    end(c, [one]);
    expect(c.core.view.job(testId(3))?.state).toBe(PENDING);
    end(c, [two]);
    expect(c.core.view.job(testId(3))?.state).toBe(STARTING);
  });

  it('fail the whole array when what it waits for failed', () => {
    const c = cluster();
    c.accept(newJob(1));
    c.accept(newArray(2, { size: 2 }, { dependsOn: [after(1)] }));
    c.accept(newJob(3, { dependsOn: [after(2)] }));
    c.step();
    end(c, c.placements(), FAILED);
    c.step();
    expect(c.ended(2)).toMatchObject({ state: FAILED_STATE, statusReason: 'Dependent Job failed' });
    expect(c.ended(3)).toMatchObject({ state: FAILED_STATE, statusReason: 'Dependent Job failed' });
  });

  it('SEQUENTIAL: each child waits for the one before; those after a failure fail, in one record', () => {
    const c = cluster();
    const number = c.accept(newArray(1, { size: 4, sequential: true }));
    c.step();
    expect(states(c, number)).toEqual([STARTING, PENDING, PENDING, PENDING]);
    c.restart();
    c.connect('n1', { watermark: 1 });
    c.step();
    end(c, c.placements());
    expect(states(c, number)).toEqual([SUCCEEDED, STARTING, PENDING, PENDING]);
    end(c, c.placements(), FAILED);
    expect(c.ended(1)).toMatchObject({ state: FAILED_STATE, statusReason: 'Array Child Job failed' });
    expect(c.ended(1).array?.failed.toString()).toBe('1-3');
    const ends = c.arrayRecords(number).filter(({ key }) => chunkOf(key).chunk === RANGE_ENDS);
    expect(ends.map(({ value }) => decodeRangeEnd(value))).toMatchObject([{ reason: 'Dependent Job failed' }]);
  });

  it('N_TO_N: each child waits for its counterpart, and fails with it', () => {
    const c = cluster();
    const first = c.accept(newArray(1, { size: 3 }));
    const second = c.accept(newArray(2, { size: 3 }, { dependsOn: [after(1, DependencyType.nToN)] }));
    c.step();
    expect(states(c, second)).toEqual([PENDING, PENDING, PENDING]);
    const [a, b, z] = c.placements() as [PlaceOutput, PlaceOutput, PlaceOutput];
    end(c, [b]);
    expect(states(c, second)).toEqual([PENDING, STARTING, PENDING]);
    end(c, [a], FAILED);
    expect(states(c, first)).toEqual([FAILED_STATE, SUCCEEDED, STARTING]);
    expect(states(c, second)).toEqual([FAILED_STATE, STARTING, PENDING]);
    const third = c.accept(newArray(3, { size: 3 }, { dependsOn: [after(1, DependencyType.nToN)] }));
    c.restart();
    c.connect('n1', { watermark: 9 });
    c.step();
    expect(states(c, second)).toEqual([FAILED_STATE, STARTING, PENDING]);
    expect(c.core.view.jobByNumber(third)).toBeUndefined();
    end(c, [{ ...z, session: 2 }]);
    expect(states(c, second)).toEqual([FAILED_STATE, STARTING, STARTING]);
  });

  it('N_TO_N on an array that is over counts at once, from memory and from the store', () => {
    const c = cluster();
    c.accept(newArray(1, { size: 3 }));
    c.step();
    const [a, b, z] = c.placements() as [PlaceOutput, PlaceOutput, PlaceOutput];
    c.report(a, 'ended', FAILED);
    end(c, [b, z]);
    const dependsOn = [after(1, DependencyType.nToN)];
    const second = c.accept(newArray(2, { size: 3 }, { dependsOn }));
    c.step();
    expect(states(c, second)).toEqual([FAILED_STATE, STARTING, STARTING]);
    c.restart();
    const third = c.accept(newArray(3, { size: 3 }, { dependsOn }));
    c.step();
    expect(states(c, third)).toEqual([FAILED_STATE, RUNNABLE, RUNNABLE]);
  });

  it('N_TO_N: a cancelled array takes the children that wait for it along, as a range', () => {
    const c = cluster();
    c.accept(newArray(1, { size: 1_000 }));
    const second = c.accept(newArray(2, { size: 1_000 }, { dependsOn: [after(1, DependencyType.nToN)] }));
    c.step();
    const placed = c.placements();
    c.apply({ kind: 'cancelJobs', jobs: [testId(1)], reason: 'no', mode: 'pendingOnly', graceSeconds: undefined });
    c.step();
    expect(c.core.view.job(testId(2))?.array?.counts).toEqual([0, 4, 0, 0, 0, 0, 996]);
    expect(c.arrayRecords(second)).toHaveLength(1);
    end(c, placed);
    end(c, c.placements());
    expect(c.ended(2)).toMatchObject({ array: { succeeded: 4, failed: { size: 996 } } });
  });

  it('N_TO_N is refused between arrays of different sizes, and on a job that is none', () => {
    const c = cluster();
    c.accept(newArray(1, { size: 3 }));
    c.accept(newJob(2));
    const on = (n: number) => c.submit(newArray(3, { size: 4 }, { dependsOn: [after(n, DependencyType.nToN)] }))[0];
    expect(on(1)).toMatchObject({ ok: false, code: 'invalid', field: 'depends_on[0].type' });
    expect(on(1)).toMatchObject({ message: expect.stringContaining('4 children, the other 3') });
    expect(on(2)).toMatchObject({ ok: false, message: expect.stringContaining('the other job is none') });
  });
});

function after(n: number, type: DependencyType = DependencyType.afterOk): NewJob['dependsOn'][number] {
  return { jobId: testId(n), type, ended: undefined };
}

describe('ending an array', () => {
  it('ends a million waiting children in one small record, and stops those that run', () => {
    const c = cluster();
    const number = c.accept(newArray(1, { size: 1_000_000 }));
    c.step();
    const placed = c.placements();
    const cancel = { kind: 'cancelJobs', reason: 'enough', mode: 'terminate', graceSeconds: 5 } as const;
    expect(c.apply({ ...cancel, jobs: [testId(1)] })).toEqual([{ outcome: 'stopping', state: PENDING, number }]);
    c.step();
    const stops = c.outputs.filter((output) => output.kind === 'stop');
    expect(stops.map(({ childIndex, reason, graceSeconds }) => [childIndex, reason, graceSeconds])).toEqual(
      [0, 1, 2, 3].map((child) => [child, 'enough', 5]),
    );
    const ends = c.arrayRecords(number).filter(({ key }) => chunkOf(key).chunk === RANGE_ENDS);
    expect(ends[0]?.value.length).toBeLessThan(40);
    // A restart remembers what was asked for.
    c.restart();
    c.connect('n1', { watermark: 4 });
    c.step();
    expect(c.outputs.filter((output) => output.kind === 'stop')).toHaveLength(4);
    end(
      c,
      placed.map((p) => ({ ...p, session: 2 })),
      outcome(EndCause.stopped, 143),
    );
    expect(c.ended(1)).toMatchObject({ state: FAILED_STATE, statusReason: 'enough', terminateRequested: true });
  }, 20_000);

  it('ends one child and leaves the others', () => {
    const c = cluster();
    const number = c.accept(newArray(1, { size: 6 }));
    c.step();
    const cancel = { kind: 'cancelJobs', reason: 'not this one', mode: 'terminate', graceSeconds: undefined } as const;
    const child = (index: number) => ({ jobId: testId(1), child: index });
    expect(c.apply({ ...cancel, jobs: [child(5), child(0), child(6)] })).toMatchObject([
      { outcome: 'ended', state: FAILED_STATE },
      { outcome: 'stopping' },
      { outcome: 'unknownJob' },
    ]);
    c.step();
    expect(c.outputs.filter((output) => output.kind === 'stop')).toMatchObject([{ childIndex: 0 }]);
    expect(states(c, number)).toEqual([STARTING, STARTING, STARTING, STARTING, RUNNABLE, FAILED_STATE]);
    expect(c.core.view.child(number, 0)).toMatchObject({ terminateRequested: true, reason: 'not this one' });
    expect(c.core.view.child(number, 1)).toMatchObject({ terminateRequested: false });
  });

  it('does not try a stopped child again', () => {
    const c = cluster();
    c.accept(newArray(1, { size: 1 }, { retry: { attempts: 3, rules: [] } }));
    c.step();
    const jobs = [{ jobId: testId(1), child: 0 }];
    c.apply({ kind: 'cancelJobs', jobs, reason: 'stop', mode: 'terminate', graceSeconds: undefined });
    end(c, c.placements(), FAILED);
    expect(c.ended(1)).toMatchObject({ state: FAILED_STATE });
  });

  it('goes with its queue', () => {
    const c = cluster();
    c.accept(newArray(1, { size: 6 }));
    c.step();
    const queue = { account: 'default', name: 'default' };
    c.apply({ kind: 'updateQueue', ...queue, settings: { enabled: false }, ifVersion: 0 });
    c.apply({ kind: 'deleteQueue', ...queue });
    const placed = c.placements();
    c.step();
    end(c, placed);
    c.step();
    expect(c.ended(1)).toMatchObject({ statusReason: 'JobQueue deleted', array: { succeeded: 4 } });
    expect(c.core.view.queue('default', 'default')).toBeUndefined();
  });
});

describe('a restored backup', () => {
  it('goes on with children that were placed since, and never runs one of them twice', () => {
    const c = cluster();
    const number = c.accept(newArray(1, { size: 3 }));
    c.apply({ kind: 'pause', reason: 'hold everything' });
    c.step();
    const backup = c.backup();
    c.apply({ kind: 'resume', acceptLoss: false, waiveMissingNodes: false });
    c.step();
    const [first, second] = c.placements() as [PlaceOutput, PlaceOutput];
    c.restore(backup);
    const attempts = [attemptReport(first, 'running'), attemptReport(second, 'ended', FAILED)];
    c.connect('n1', { watermark: 3, attempts });
    c.step();
    expect(states(c, number)).toEqual([RUNNING, FAILED_STATE, RUNNABLE]);
    expect(c.core.view.status().adoptedAttempts).toBe(2);
    // A report of a child that the array does not have is one of an orphan.
    const stranger = attemptReport({ ...first, childIndex: 3, sequence: 9 }, 'running');
    const node = { account: 'default', node: 'n1', session: 2 };
    c.apply({ kind: 'nodeReports', ...node, sequence: 2, historyEnded: false, reports: [stranger] });
    expect(c.core.view.node('default', 'n1')?.orphans).toMatchObject([{ childIndex: 3, running: true }]);
  });
});

describe('what an array keeps on disk', () => {
  it('is a chunk of 512 children at most 64 bytes each once they are over, whatever came before', () => {
    const c = new TestCluster();
    const offer = { milliVcpu: 1e6, memoryBytes: 1e15, named: [], features: [], takesJobs: true };
    c.connect('n1', { offer, credit: 10_000 });
    const number = c.accept(newArray(1, { size: 1_024 }));
    c.step();
    const placed = c.placements();
    // In single steps, so that deltas pile up and are folded on the way.
    for (const placement of placed.slice(0, 100)) {
      end(c, [placement], outcome(EndCause.exited, 3, 'OutOfMemoryError: Container killed due to memory usage'));
    }
    const deltas = c.arrayRecords(number).filter(({ key }) => chunkOf(key).chunk === 0);
    expect(deltas.length).toBeGreaterThan(1);
    expect(deltas.length).toBeLessThanOrEqual(65);
    c.restart();
    c.connect('n1', { offer, credit: 10_000, watermark: 2_000 });
    c.step();
    end(
      c,
      placed.slice(100, 900).map((p) => ({ ...p, session: 2 })),
    );
    const [chunk, ...others] = c.arrayRecords(number).filter(({ key }) => chunkOf(key).chunk === 0);
    expect(others).toEqual([]);
    expect(chunk?.value.length).toBeLessThan(512 * 64);
    const content = new ChunkContent();
    content.add(chunk?.value ?? new Uint8Array());
    expect(content.get(7)).toMatchObject({
      kind: 'ended',
      state: FAILED_STATE,
      attempts: 1,
      lastAttempt: { node: 'n1', exitCode: 3, reason: 'OutOfMemoryError: Container killed due to memory usage' },
    });
    expect(content.get(511)).toMatchObject({ kind: 'ended', state: SUCCEEDED });
  });

  it('brings an array back as it was, wherever it stood', () => {
    const c = cluster();
    const number = c.accept(newArray(1, { size: 9 }, { retry: { attempts: 2, rules: [] } }));
    c.step();
    c.report(c.placements()[0] as PlaceOutput, 'running');
    c.report(c.placements()[1] as PlaceOutput, 'ended', FAILED);
    c.report(c.placements()[2] as PlaceOutput, 'ended', EXITED_0);
    c.apply({ kind: 'pause', reason: 'look' });
    c.step();
    const before = states(c, number);
    expect(before.slice(0, 5)).toEqual([RUNNING, RUNNABLE, SUCCEEDED, STARTING, RUNNABLE]);
    const [running, again] = [c.core.view.child(number, 0), c.core.view.child(number, 1)];
    c.restart();
    expect(states(c, number)).toEqual(before);
    expect(c.core.view.child(number, 0)).toEqual(running);
    expect(c.core.view.child(number, 1)).toEqual(again);
  });
});
