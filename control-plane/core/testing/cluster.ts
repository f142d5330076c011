import { known } from '../assert.ts';
import type { Core } from '../core.ts';
import { CoreLoader } from '../load.ts';
import {
  arrayRange,
  CLUSTER_KEY,
  decodeEndedJob,
  endedJobKey,
  jobIdIndexKey,
  numberAt,
  type Table,
  tableRange,
} from '../records/index.ts';
import {
  type AttemptOutcome,
  type AttemptReport,
  EndCause,
  type EndedFact,
  type Input,
  type NewJob,
  OnNodeLost,
  type Output,
  type PlaceOutput,
  type Reply,
} from '../types.ts';
import type { EndedJob } from '../view.ts';

// A core over an ordered map of records, for tests: what is committed survives `restart`, what is not is gone.

export const GIB = 2 ** 30;

/** A job id that is the same in every run: `n` in its last bytes. */
export function testId(n: number): Uint8Array {
  const id = new Uint8Array(16);
  new DataView(id.buffer).setUint32(12, n);
  id[0] = (n * 37) & 0xff;
  return id;
}

export function newJob(n: number, overrides: Partial<NewJob> = {}): NewJob {
  return {
    id: testId(n),
    account: 'default',
    queue: 'default',
    definition: 'default:1',
    user: 'alice',
    name: `job-${n}`,
    requirements: { milliVcpu: 1000, memoryBytes: GIB, named: [], features: [] },
    retry: { attempts: 1, rules: [] },
    onNodeLost: OnNodeLost.wait,
    priority: 0,
    hold: false,
    dependsOn: [],
    spec: new Uint8Array([n & 0xff]),
    digest: testId(n + 1_000_000),
    ended: undefined,
    ...overrides,
  };
}

export const EXITED_0: AttemptOutcome = outcome(EndCause.exited, 0);

export function outcome(cause: EndCause, exitCode?: number, reason = ''): AttemptOutcome {
  return {
    cause,
    exitCode,
    signal: undefined,
    reason,
    peakMemoryBytes: 1024,
    cpuTimeUs: 10,
    logLengths: [0],
    imageDigest: '',
  };
}

export class TestCluster {
  core: Core;
  /** Outputs of the last step. */
  outputs: Output[] = [];
  wallMs = 1_800_000_000_000;
  private readonly records = new Map<string, { key: Uint8Array; value: Uint8Array }>();
  private position = { epoch: 1, sequence: 0 };
  private sessions = 0;
  /** What the specs of jobs with dependencies would say; the shell reads them from the store. */
  private readonly dependencies = new Map<number, NewJob['dependsOn']>();

  constructor() {
    this.core = this.load();
    this.apply({
      kind: 'createEnvironment',
      account: 'default',
      name: 'default',
      settings: { enabled: true, placement: 'pack', tags: {} },
    });
    const settings = { priority: 0, enabled: true, environments: ['default'], tags: {} };
    this.apply({ kind: 'createQueue', account: 'default', name: 'default', settings });
    this.step();
  }

  apply<I extends Input>(input: I): Reply<I> {
    return this.core.apply(input);
  }

  /** A turn that is applied, and lost with the process before it was committed. */
  crash(): void {
    this.core.schedule(1_000);
    this.core.takeTurn();
    this.restart();
  }

  /** One whole turn: time passes, what fits is placed, the batch is committed, every index is derived anew. */
  step(elapsedMs = 10): Output[] {
    this.wallMs += elapsedMs;
    this.core.apply({ kind: 'tick', wallMs: this.wallMs, elapsedMs });
    this.core.schedule(1_000);
    const { changes, outputs, position, turn } = this.core.takeTurn();
    for (const { key, value } of changes) {
      const text = Buffer.from(key).toString('latin1');
      if (value === undefined) this.records.delete(text);
      else this.records.set(text, { key, value });
    }
    this.position = position;
    this.core.turnDurable(turn);
    this.core.sanityCheck();
    this.outputs = outputs;
    return outputs;
  }

  /** The process dies between two turns and starts again. `epoch`: the store's, when it was raised meanwhile. */
  restart(epoch = this.position.epoch): void {
    if (epoch !== this.position.epoch) this.position = { epoch, sequence: 0 };
    this.core = this.load();
    this.core.sanityCheck();
  }

  /** A copy of what is committed, as a backup holds it; `restore` goes back to it under a higher epoch. */
  backup(): Map<string, { key: Uint8Array; value: Uint8Array }> {
    return new Map(this.records);
  }

  restore(backup: ReadonlyMap<string, { key: Uint8Array; value: Uint8Array }>): void {
    this.records.clear();
    for (const [text, record] of backup) this.records.set(text, record);
    this.restart(this.position.epoch + 1);
  }

  submit(...jobs: NewJob[]): Reply<Input & { kind: 'submitJobs' }> {
    const withFacts = jobs.map((job) => ({
      ...job,
      ended: this.endedFact(job.id),
      dependsOn: job.dependsOn.map((dependency) => ({ ...dependency, ended: this.endedFact(dependency.jobId) })),
    }));
    const factsTurn = this.core.view.turn;
    const answers = this.apply({ kind: 'submitJobs', mode: 'each', jobs: withFacts, submittedBy: 'admin', factsTurn });
    for (const [at, answer] of answers.entries()) {
      if (answer.ok) this.dependencies.set(answer.number, (jobs[at] as NewJob).dependsOn);
    }
    return answers;
  }

  /** Submits one job that must be accepted; its number. */
  accept(job: NewJob): number {
    const [answer] = this.submit(job);
    if (answer?.ok !== true) throw new Error(`refused: ${JSON.stringify(answer)}`);
    return answer.number;
  }

  /** Connects a node with room for 4 jobs of `newJob`'s size, unless told otherwise. */
  connect(
    node: string,
    overrides: Partial<Extract<Input, { kind: 'nodeConnected' }>> = {},
  ): { session: number; reply: Reply<Input & { kind: 'nodeConnected' }> } {
    const session = ++this.sessions;
    const reply = this.apply({
      kind: 'nodeConnected',
      account: 'default',
      node,
      environment: 'default',
      session,
      incarnation: `${node}-1`,
      bootId: 'boot-1',
      offer: { milliVcpu: 4000, memoryBytes: 4 * GIB, named: [], features: ['process'], takesJobs: true },
      credit: 100,
      watermark: 0,
      witness: { epoch: 0, sequence: 0 },
      completeHistory: true,
      historyContinues: false,
      attempts: [],
      ...overrides,
    });
    return { session, reply };
  }

  report(placement: PlaceOutput, phase: AttemptReport['phase'], ended?: AttemptOutcome): boolean {
    const { account, node, session } = placement;
    return this.apply({
      kind: 'nodeReports',
      account,
      node,
      session,
      sequence: 1,
      historyEnded: false,
      reports: [attemptReport(placement, phase, ended)],
    });
  }

  placements(): PlaceOutput[] {
    return this.outputs.filter((output) => output.kind === 'place');
  }

  /** A job that is over, from its record. */
  ended(n: number): EndedJob {
    const index = known(this.get(jobIdIndexKey('default', testId(n))), `index of job ${n}`);
    return decodeEndedJob(known(this.get(endedJobKey('default', numberAt(index, 0))), `record of job ${n}`));
  }

  /** A job that is over is past its retention: its records are gone. */
  forget(n: number): void {
    const id = jobIdIndexKey('default', testId(n));
    const number = numberAt(known(this.get(id), `index of job ${n}`), 0);
    this.apply({ kind: 'expire', keys: [id, endedJobKey('default', number)] });
    this.step();
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return this.records.get(Buffer.from(key).toString('latin1'))?.value;
  }

  table(table: Table): Uint8Array[] {
    const { gte } = tableRange('default', table);
    const start = Buffer.from(gte).toString('latin1');
    return [...this.records]
      .filter(([key]) => key.startsWith(start))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, r]) => r.value);
  }

  /** What is kept of an array's children, in the order of the keys. */
  arrayRecords(number: number): { readonly key: Uint8Array; readonly value: Uint8Array }[] {
    const { gte, lt } = arrayRange('default', 'c', number);
    const [first, end] = [Buffer.from(gte).toString('latin1'), Buffer.from(lt).toString('latin1')];
    return [...this.records]
      .filter(([key]) => key >= first && key < end)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, record]) => record);
  }

  private endedFact(id: Uint8Array): EndedFact | undefined {
    const index = this.get(jobIdIndexKey('default', id));
    if (index === undefined) return undefined;
    const { number, state, digest, array } = decodeEndedJob(
      known(this.get(endedJobKey('default', numberAt(index, 0))), 'ended job'),
    );
    return { number, state, digest, array };
  }

  private load(): Core {
    const loader = new CoreLoader({
      cluster: this.get(CLUSTER_KEY),
      position: this.position,
      integrity: { kind: 'whole' },
      wallMs: this.wallMs,
    });
    for (const value of this.table('e')) loader.environment(value);
    for (const value of this.table('q')) loader.queue(value);
    for (const value of this.table('d')) loader.definition(value);
    for (const value of this.table('n')) loader.node(value);
    for (const value of this.table('j')) loader.liveJob('default', value);
    for (const { number } of loader.arrays) {
      const children = loader.children('default', number);
      for (const { key, value } of this.arrayRecords(number)) children.record(key, value);
      children.finish();
    }
    for (const { number } of loader.dependents)
      loader.dependencies(number, known(this.dependencies.get(number), 'dependencies'));
    return loader.finish();
  }
}

export function attemptReport(
  {
    jobId,
    childIndex,
    attempt,
    sequence,
    number,
  }: Pick<PlaceOutput, 'jobId' | 'childIndex' | 'attempt' | 'sequence' | 'number'>,
  phase: AttemptReport['phase'],
  ended?: AttemptOutcome,
): AttemptReport {
  return {
    jobId,
    childIndex,
    attempt,
    phase,
    startDelayMs: 1,
    runDurationMs: ended === undefined ? 0 : 5,
    ageMs: 0,
    outcome: phase === 'ended' ? (ended ?? EXITED_0) : undefined,
    rejection: phase === 'rejected' ? { reason: 'no room', retryAfterMs: 1_000 } : undefined,
    placementSequence: sequence,
    jobName: 'job',
    jobNumber: number,
    resourcesReleased: true,
  };
}
