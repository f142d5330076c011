import { describe, expect, it } from 'vitest';
import { LOST_AFTER_MS, SILENT_AFTER_MS } from './limits.ts';
import { decodeHistory } from './records/history.ts';
import { attemptReport, EXITED_0, GIB, newJob, outcome, TestCluster, testId } from './testing/cluster.ts';
import { EndCause, JobState, NodeState, OnNodeLost, type PlaceOutput } from './types.ts';

function first(cluster: TestCluster): PlaceOutput {
  const [placement] = cluster.placements();
  if (placement === undefined) throw new Error('nothing was placed');
  return placement;
}

/** Lets elapsed time pass in ticks as long as the core takes at once. */
function pass(cluster: TestCluster, ms: number): void {
  for (let left = ms; left > 0; left -= 1_000) cluster.core.apply({ kind: 'tick', wallMs: 0, elapsedMs: 1_000 });
  cluster.step(0);
}

describe('a job from submission to its end', () => {
  it('is placed, started and ended, and leaves a record and an accounting record', () => {
    const cluster = new TestCluster();
    cluster.connect('n1');
    const number = cluster.accept(newJob(1));
    cluster.step();
    const placement = first(cluster);
    expect(placement).toMatchObject({ number, attempt: 1, node: 'n1', sequence: 1, user: 'alice' });
    expect(cluster.core.view.job(testId(1))?.state).toBe(JobState.starting);
    cluster.report(placement, 'running');
    cluster.step();
    expect(cluster.core.view.job(testId(1))?.state).toBe(JobState.running);
    cluster.report(placement, 'ended');
    cluster.step();
    expect(cluster.core.view.job(testId(1))).toBeUndefined();
    expect(cluster.ended(1)).toMatchObject({
      state: JobState.succeeded,
      statusReason: 'Essential container in task exited',
      attempts: 1,
    });
    expect(cluster.table('h').map(decodeHistory)).toMatchObject([{ number, succeeded: true, final: true, node: 'n1' }]);
    expect(cluster.table('j')).toEqual([]);
  });

  it('waits where it is when nothing can take it, and says why', () => {
    const cluster = new TestCluster();
    cluster.accept(newJob(1, { requirements: { milliVcpu: 64_000, memoryBytes: GIB, named: [], features: [] } }));
    cluster.step();
    expect(cluster.core.view.blockers(testId(1))).toMatchObject([{ code: 'no_node' }]);
    cluster.connect('n1');
    cluster.step();
    expect(cluster.core.view.blockers(testId(1))).toMatchObject([{ code: 'no_node_large_enough' }]);
  });

  it('says which feature no node offers', () => {
    const cluster = new TestCluster();
    cluster.connect('n1');
    cluster.accept(
      newJob(1, { requirements: { milliVcpu: 1000, memoryBytes: GIB, named: [], features: ['container'] } }),
    );
    cluster.step();
    const message = 'no node of job queue "default" offers container: a container engine has to answer on it';
    expect(cluster.core.view.blockers(testId(1))).toEqual([{ code: 'no_feature', message }]);
  });

  it('gives the same answer to the same request and refuses another one under its id', () => {
    const cluster = new TestCluster();
    const number = cluster.accept(newJob(1));
    expect(cluster.submit(newJob(1))).toEqual([{ ok: true, number, existed: true }]);
    expect(cluster.submit(newJob(1, { digest: testId(7) }))).toMatchObject([{ ok: false, code: 'alreadyExists' }]);
    cluster.apply({
      kind: 'cancelJobs',
      jobs: [testId(1)],
      reason: 'enough',
      mode: 'terminate',
      graceSeconds: undefined,
    });
    cluster.step();
    cluster.restart();
    expect(cluster.submit(newJob(1))).toEqual([{ ok: true, number, existed: true }]);
    expect(cluster.submit(newJob(1, { digest: testId(7) }))).toMatchObject([{ ok: false, code: 'alreadyExists' }]);
  });

  it('is served by priority of queues, then in the order of submission', () => {
    const cluster = new TestCluster();
    const settings = { priority: 5, enabled: true, environments: ['default'], tags: {} };
    cluster.apply({ kind: 'createQueue', account: 'default', name: 'urgent', settings });
    for (const n of [1, 2, 3, 4, 5]) cluster.accept(newJob(n));
    for (const n of [6, 7]) cluster.accept(newJob(n, { queue: 'urgent' }));
    cluster.connect('n1');
    cluster.step();
    expect(cluster.placements().map(({ number }) => number)).toEqual([6, 7, 1, 2]);
    expect(cluster.core.view.dispatchOrder('default', 'default', 10)).toEqual([3, 4, 5]);
  });

  it('keeps its place in the order over a restart', () => {
    const cluster = new TestCluster();
    for (const n of [5, 3, 9, 1, 7]) cluster.accept(newJob(n));
    cluster.step();
    const before = cluster.core.view.dispatchOrder('default', 'default', 10);
    cluster.restart();
    expect(cluster.core.view.dispatchOrder('default', 'default', 10)).toEqual(before);
  });

  it('lets smaller work pass one that does not fit, and comes back to it when there is room', () => {
    const cluster = new TestCluster();
    cluster.connect('n1');
    cluster.accept(newJob(1));
    cluster.step();
    const small = first(cluster);
    cluster.accept(newJob(2, { requirements: { milliVcpu: 4000, memoryBytes: GIB, named: [], features: [] } }));
    cluster.accept(newJob(3));
    cluster.step();
    expect(cluster.placements().map(({ number }) => number)).toEqual([3]);
    const passing = first(cluster);
    cluster.report(small, 'ended');
    cluster.report(passing, 'ended');
    cluster.step();
    expect(cluster.placements().map(({ number }) => number)).toEqual([2]);
  });

  it('takes named resources as whole units', () => {
    const cluster = new TestCluster();
    const offer = {
      milliVcpu: 8000,
      memoryBytes: 8 * GIB,
      named: [{ name: 'gpu', count: 2 }],
      features: ['process'],
      takesJobs: true,
    };
    cluster.connect('n1', { offer });
    const requirements = { milliVcpu: 100, memoryBytes: GIB, named: [{ name: 'gpu', count: 1 }], features: [] };
    for (const n of [1, 2, 3]) cluster.accept(newJob(n, { requirements }));
    cluster.step();
    const placed = cluster.placements();
    expect(placed.map(({ number }) => number)).toEqual([1, 2]);
    cluster.report(placed[0] as PlaceOutput, 'ended');
    cluster.step();
    expect(cluster.placements().map(({ number }) => number)).toEqual([3]);
    cluster.accept(newJob(4, { requirements: { ...requirements, named: [{ name: 'gpu', count: 3 }] } }));
    expect(cluster.core.view.blockers(testId(4))).toMatchObject([
      { code: 'no_node_large_enough', message: expect.stringMatching(/3 gpu; the most .* 8 vCPU, 8192 MiB, 2 gpu$/) },
    ]);
  });
});

describe('retries', () => {
  it('tries a failed job again, at the front, as often as it may', () => {
    const cluster = new TestCluster();
    cluster.connect('n1');
    cluster.accept(newJob(1, { retry: { attempts: 2, rules: [] } }));
    cluster.step();
    cluster.report(first(cluster), 'ended', outcome(EndCause.exited, 3));
    cluster.step();
    expect(first(cluster)).toMatchObject({ number: 1, attempt: 2 });
    cluster.report(first(cluster), 'ended', outcome(EndCause.exited, 4));
    cluster.step();
    expect(cluster.ended(1)).toMatchObject({ state: JobState.failed, attempts: 2, lastAttempt: { exitCode: 4 } });
    expect(cluster.table('a')).toHaveLength(1);
    expect(cluster.table('h')).toHaveLength(2);
  });

  it('never retries a time-out', () => {
    const cluster = new TestCluster();
    cluster.connect('n1');
    cluster.accept(newJob(1, { retry: { attempts: 5, rules: [] } }));
    cluster.step();
    cluster.report(first(cluster), 'ended', outcome(EndCause.timedOut, 137));
    cluster.step();
    expect(cluster.ended(1).statusReason).toBe('Job attempt duration exceeded timeout');
  });

  it('uses up no attempt when a node rejects it, and leaves that node alone for a while', () => {
    const cluster = new TestCluster();
    cluster.connect('n1');
    cluster.accept(newJob(1));
    cluster.step();
    cluster.report(first(cluster), 'rejected');
    cluster.step();
    expect(cluster.placements()).toEqual([]);
    expect(cluster.core.view.blockers(testId(1))).toMatchObject([
      { code: 'no_ready_node', message: expect.stringContaining('no room') },
    ]);
    pass(cluster, 2_000);
    expect(first(cluster)).toMatchObject({ attempt: 1, sequence: 2 });
  });
});

describe('cancel and terminate', () => {
  const stop = { kind: 'cancelJobs', jobs: [testId(1)], reason: 'changed my mind', graceSeconds: undefined } as const;

  it('ends a job that waits, at once', () => {
    const cluster = new TestCluster();
    cluster.accept(newJob(1));
    expect(cluster.apply({ ...stop, mode: 'pendingOnly' })).toMatchObject([{ outcome: 'ended' }]);
    cluster.step();
    expect(cluster.ended(1)).toMatchObject({
      state: JobState.failed,
      statusReason: 'changed my mind',
      cancelRequested: true,
    });
  });

  it('leaves a running job alone when only pending ones are meant, else stops it, also after a restart', () => {
    const cluster = new TestCluster();
    cluster.connect('n1');
    cluster.accept(newJob(1, { retry: { attempts: 3, rules: [] } }));
    cluster.step();
    const placement = first(cluster);
    expect(cluster.apply({ ...stop, mode: 'pendingOnly' })).toMatchObject([{ outcome: 'leftRunning' }]);
    expect(cluster.apply({ ...stop, mode: 'terminate' })).toMatchObject([{ outcome: 'stopping' }]);
    expect(cluster.step().map(({ kind }) => kind)).toContain('stop');
    cluster.restart();
    cluster.connect('n1', { watermark: 1, attempts: [attemptReport(placement, 'running')] });
    expect(cluster.step().filter(({ kind }) => kind === 'stop')).toMatchObject([
      { reason: 'changed my mind', attempt: 1 },
    ]);
    cluster.connect('n1', {
      watermark: 1,
      attempts: [attemptReport(placement, 'ended', outcome(EndCause.stopped, 143))],
    });
    cluster.step();
    expect(cluster.ended(1)).toMatchObject({ state: JobState.failed, statusReason: 'changed my mind', attempts: 1 });
  });
});

describe('dependencies', () => {
  it('wait for success and fail with what they wait for, transitively', () => {
    const cluster = new TestCluster();
    cluster.connect('n1');
    const after = (n: number) => ({ dependsOn: [{ jobId: testId(n), type: 0 as const, ended: undefined }] });
    cluster.accept(newJob(1));
    cluster.accept(newJob(2, after(1)));
    cluster.accept(newJob(3, after(2)));
    cluster.accept(newJob(4, after(1)));
    cluster.step();
    expect(cluster.core.view.job(testId(3))?.state).toBe(JobState.pending);
    cluster.report(first(cluster), 'ended');
    cluster.step();
    const placed = cluster.placements();
    expect(placed.map(({ number }) => number)).toEqual([2, 4]);
    cluster.report(placed[0] as PlaceOutput, 'ended', outcome(EndCause.exited, 1));
    cluster.step();
    cluster.step();
    expect(cluster.ended(3)).toMatchObject({
      state: JobState.failed,
      statusReason: 'Dependent Job failed',
      attempts: 0,
    });
  });

  it('count at once when they are over, and are refused when nobody knows them', () => {
    const cluster = new TestCluster();
    cluster.connect('n1');
    cluster.accept(newJob(1));
    cluster.step();
    cluster.report(first(cluster), 'ended');
    cluster.step();
    cluster.accept(newJob(2, { dependsOn: [{ jobId: testId(1), type: 0, ended: undefined }] }));
    cluster.step();
    expect(first(cluster).number).toBe(2);
    const unknown = newJob(3, { dependsOn: [{ jobId: testId(99), type: 0, ended: undefined }] });
    expect(cluster.submit(unknown)).toMatchObject([{ ok: false, field: 'depends_on[0].job_id' }]);
  });

  it('stay met when what met them has been forgotten', () => {
    const cluster = new TestCluster();
    cluster.connect('n1');
    cluster.accept(newJob(1));
    cluster.accept(newJob(2, { hold: true }));
    const dependsOn = [1, 2].map((n) => ({ jobId: testId(n), type: 0 as const, ended: undefined }));
    cluster.accept(newJob(3, { dependsOn }));
    cluster.step();
    cluster.report(first(cluster), 'ended');
    cluster.step();
    cluster.forget(1);
    cluster.restart();
    expect(cluster.core.view.job(testId(3))).toMatchObject({ state: JobState.pending, waitingFor: 1 });
  });

  it('stay linear in a chain of 20,000 that fails, spread over turns', () => {
    const cluster = new TestCluster();
    cluster.accept(newJob(0, { hold: true }));
    for (let n = 1; n < 20_000; n++)
      cluster.accept(newJob(n, { dependsOn: [{ jobId: testId(n - 1), type: 0, ended: undefined }] }));
    cluster.apply({ kind: 'cancelJobs', jobs: [testId(0)], reason: 'no', mode: 'terminate', graceSeconds: undefined });
    let turns = 0;
    while (cluster.core.schedule(1_000)) {
      cluster.core.takeTurn();
      turns++;
    }
    expect(turns).toBeGreaterThan(5);
    expect(cluster.core.view.status().liveJobs).toEqual([0, 0, 0, 0, 0]);
  });
});

describe('nodes that fall silent', () => {
  function running(onNodeLost: OnNodeLost, attempts = 1): { cluster: TestCluster; placement: PlaceOutput } {
    const cluster = new TestCluster();
    cluster.connect('n1');
    cluster.accept(newJob(1, { onNodeLost, retry: { attempts, rules: [] } }));
    cluster.step();
    const placement = first(cluster);
    cluster.report(placement, 'running');
    cluster.step();
    return { cluster, placement };
  }

  it('keep their jobs running, and say so', () => {
    const { cluster } = running(OnNodeLost.wait);
    pass(cluster, SILENT_AFTER_MS + 1_000);
    expect(cluster.core.view.node('default', 'n1')?.state).toBe(NodeState.silent);
    expect(cluster.core.view.job(testId(1))).toMatchObject({ state: JobState.running, nodeSilent: true });
    pass(cluster, LOST_AFTER_MS);
    expect(cluster.core.view.node('default', 'n1')?.state).toBe(NodeState.lost);
    expect(cluster.core.view.job(testId(1))?.state).toBe(JobState.running);
  });

  it("end what waits for them on an operator's word", () => {
    const { cluster } = running(OnNodeLost.wait);
    expect(cluster.apply({ kind: 'confirmNodeOff', account: 'default', node: 'n1' })).toMatchObject({ ok: false });
    pass(cluster, SILENT_AFTER_MS + 1_000);
    expect(cluster.apply({ kind: 'confirmNodeOff', account: 'default', node: 'n1' })).toEqual({
      ok: true,
      endedAttempts: 1,
    });
    cluster.step();
    expect(cluster.ended(1).statusReason).toBe('Host EC2 (instance n1) terminated.');
    expect(cluster.ended(1).lastAttempt?.exitCode).toBeUndefined();
  });

  it('lose a fenced job to another run, and are told to stop it when they return', () => {
    const { cluster, placement } = running(OnNodeLost.fenced);
    pass(cluster, LOST_AFTER_MS + 1_000);
    cluster.connect('n2');
    cluster.step();
    expect(first(cluster)).toMatchObject({ node: 'n2', attempt: 2 });
    cluster.connect('n1', { watermark: 1, attempts: [attemptReport(placement, 'running')] });
    const outputs = cluster.step();
    expect(outputs.filter(({ kind }) => kind === 'stop')).toMatchObject([{ node: 'n1', attempt: 1 }]);
    // What the superseded attempt holds is not offered before it is gone.
    expect(cluster.core.view.node('default', 'n1')?.allocated.milliVcpu).toBe(1000);
    cluster.apply({
      kind: 'nodeReports',
      account: 'default',
      node: 'n1',
      session: 3,
      sequence: 1,
      historyEnded: false,
      reports: [attemptReport(placement, 'ended', outcome(EndCause.stopped, 137))],
    });
    cluster.step();
    expect(cluster.core.view.node('default', 'n1')?.allocated.milliVcpu).toBe(0);
  });

  it('lose what an earlier incarnation ran', () => {
    const { cluster } = running(OnNodeLost.wait, 2);
    cluster.connect('n1', { incarnation: 'n1-2' });
    cluster.step();
    expect(first(cluster)).toMatchObject({ attempt: 2, sequence: 1 });
  });

  it('are sent again what never reached them', () => {
    const cluster = new TestCluster();
    cluster.connect('n1');
    cluster.accept(newJob(1));
    cluster.step();
    const sent = first(cluster);
    cluster.restart();
    cluster.connect('n1', { watermark: 0 });
    cluster.step();
    expect(first(cluster)).toMatchObject({ attempt: 1, sequence: sent.sequence });
  });

  it('take nothing while they drain, and are drained when empty', () => {
    const { cluster, placement } = running(OnNodeLost.wait);
    cluster.apply({ kind: 'drainNode', account: 'default', node: 'n1', reason: 'new disk' });
    cluster.accept(newJob(2));
    cluster.step();
    expect(cluster.placements()).toEqual([]);
    expect(cluster.core.view.node('default', 'n1')).toMatchObject({
      state: NodeState.draining,
      stateReason: 'new disk',
    });
    cluster.report(placement, 'ended');
    cluster.step();
    expect(cluster.core.view.node('default', 'n1')?.state).toBe(NodeState.drained);
    cluster.accept(newJob(9));
    expect(cluster.core.view.blockers(testId(9))).toMatchObject([
      {
        code: 'no_ready_node',
        message: 'the one node that could run it takes no placements now: node "n1" is drained (new disk)',
      },
    ]);
    cluster.apply({ kind: 'undrainNode', account: 'default', node: 'n1' });
    cluster.step();
    expect(first(cluster).number).toBe(2);
  });
});

describe('a restored backup', () => {
  it('starts paused, adopts what ran meanwhile, lists what it never knew, and places nothing before every node has spoken', () => {
    const cluster = new TestCluster();
    cluster.connect('n1');
    cluster.accept(newJob(1));
    cluster.accept(newJob(2));
    cluster.apply({ kind: 'pause', reason: 'hold everything' });
    cluster.step();
    const backup = cluster.backup();
    cluster.apply({ kind: 'resume', acceptLoss: false, waiveMissingNodes: false });
    cluster.accept(newJob(3));
    cluster.step();
    const placed = cluster.placements();
    expect(placed.map(({ number }) => number)).toEqual([1, 2, 3]);
    cluster.restore(backup);
    cluster.step();
    expect(cluster.core.view.status()).toMatchObject({
      awaitedNodes: ['n1'],
      pauses: [{ cause: 'restored' }, { cause: 'operator' }],
    });
    cluster.apply({ kind: 'resume', acceptLoss: false, waiveMissingNodes: false });
    expect(cluster.step().filter(({ kind }) => kind === 'place')).toEqual([]);
    expect(cluster.connect('n1', { completeHistory: false }).reply).toMatchObject({
      ok: false,
      field: 'complete_history',
    });
    const [one, two, three] = placed as [PlaceOutput, PlaceOutput, PlaceOutput];
    const attempts = [
      attemptReport(one, 'ended', EXITED_0),
      attemptReport(two, 'running'),
      attemptReport(three, 'running'),
    ];
    // Of two jobs that the backup does not know, one is long forgotten and one was lost with the state.
    const older = attemptReport({ ...three, jobId: testId(98), number: 1 }, 'ended');
    const lost = attemptReport({ ...three, jobId: testId(99), number: 4 }, 'ended');
    attempts.push(older, lost);
    const { session } = cluster.connect('n1', { watermark: 3, attempts });
    const outputs = cluster.step();
    expect(outputs.filter(({ kind }) => kind === 'place' || kind === 'stop')).toEqual([]);
    expect(cluster.ended(1)).toMatchObject({ state: JobState.succeeded, attempts: 1 });
    expect(cluster.core.view.job(testId(2))).toMatchObject({ state: JobState.running, attempt: 1, node: 'n1' });
    const orphans = () => cluster.core.view.node('default', 'n1')?.orphans;
    const over = { jobId: testId(99), attempt: 1, running: false };
    expect(orphans()).toMatchObject([{ jobId: testId(3), attempt: 1, running: true }, over]);
    expect(cluster.core.view.status()).toMatchObject({ awaitedNodes: [], adoptedAttempts: 2 });
    cluster.report({ ...three, session }, 'ended', EXITED_0);
    expect(orphans()).toMatchObject([{ jobId: testId(3), attempt: 1, running: false }, over]);
    // The number of the job that was lost is never given to another.
    expect(cluster.accept(newJob(4))).toBeGreaterThan(three.number);
  });

  it('goes on waiting for a node whose history has more than a hello holds', () => {
    const cluster = new TestCluster();
    cluster.connect('n1');
    cluster.accept(newJob(1));
    cluster.apply({ kind: 'pause', reason: 'hold everything' });
    cluster.step();
    const backup = cluster.backup();
    cluster.apply({ kind: 'resume', acceptLoss: false, waiveMissingNodes: false });
    cluster.step();
    const ran = first(cluster);
    cluster.restore(backup);
    cluster.apply({ kind: 'resume', acceptLoss: false, waiveMissingNodes: false });
    const { session } = cluster.connect('n1', { watermark: 1, historyContinues: true });
    expect(cluster.step().filter(({ kind }) => kind === 'place')).toEqual([]);
    const reports = { kind: 'nodeReports', account: 'default', node: 'n1', session, sequence: 1 } as const;
    cluster.apply({ ...reports, historyEnded: false, reports: [attemptReport(ran, 'ended', EXITED_0)] });
    cluster.apply({ ...reports, historyEnded: true, reports: [] });
    expect(cluster.step().filter(({ kind }) => kind === 'place')).toEqual([]);
    expect(cluster.ended(1)).toMatchObject({ state: JobState.succeeded, attempts: 1 });
    expect(cluster.core.view.status().awaitedNodes).toEqual([]);
  });

  it('schedules nothing when a node has seen more than the store has, until the loss is accepted', () => {
    const cluster = new TestCluster();
    cluster.accept(newJob(1));
    cluster.connect('n1', { witness: { epoch: 1, sequence: 1_000_000 } });
    cluster.step();
    expect(cluster.placements()).toEqual([]);
    expect(cluster.core.view.status().pauses).toMatchObject([{ cause: 'loss' }]);
    expect(cluster.apply({ kind: 'resume', acceptLoss: false, waiveMissingNodes: false }).pauses).toHaveLength(1);
    cluster.apply({ kind: 'resume', acceptLoss: true, waiveMissingNodes: false });
    expect(cluster.step().map(({ kind }) => kind)).toContain('resync');
    expect(cluster.core.view.status()).toMatchObject({ position: { epoch: 2, sequence: 1 }, awaitedNodes: ['n1'] });
    cluster.connect('n1', { witness: { epoch: 2, sequence: 1 } });
    cluster.step();
    expect(first(cluster).number).toBe(1);
  });
});

describe('queues', () => {
  it('end what waits in them when they are deleted', () => {
    const cluster = new TestCluster();
    for (const n of [1, 2, 3]) cluster.accept(newJob(n));
    expect(cluster.apply({ kind: 'deleteQueue', account: 'default', name: 'default' })).toMatchObject({
      code: 'failedPrecondition',
    });
    cluster.apply({
      kind: 'updateQueue',
      account: 'default',
      name: 'default',
      settings: { enabled: false },
      ifVersion: 0,
    });
    expect(cluster.submit(newJob(4))).toMatchObject([{ ok: false, field: 'job_queue' }]);
    expect(cluster.apply({ kind: 'deleteQueue', account: 'default', name: 'default' })).toEqual({
      ok: true,
      endedJobs: 3,
    });
    cluster.step();
    expect(cluster.ended(2).statusReason).toBe('JobQueue deleted');
    expect(cluster.core.view.queues('default')).toEqual([]);
    cluster.restart();
    expect(cluster.table('q')).toEqual([]);
  });

  it('compare and set', () => {
    const cluster = new TestCluster();
    const update = { kind: 'updateQueue', account: 'default', name: 'default', settings: { priority: 3 } } as const;
    expect(cluster.apply({ ...update, ifVersion: 7 })).toMatchObject({ code: 'aborted' });
    expect(cluster.apply({ ...update, ifVersion: 1 })).toEqual({ ok: true });
    expect(cluster.core.view.queue('default', 'default')).toMatchObject({ priority: 3, version: 2 });
  });
});
