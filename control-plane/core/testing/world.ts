import { known } from '../assert.ts';
import { hexJobId } from '../ids.ts';
import { ChunkContent } from '../records/array-chunk.ts';
import { chunkOf, RANGE_ENDS } from '../records/keys.ts';
import { decodeRangeEnd } from '../records/range-end.ts';
import {
  type AttemptOutcome,
  type AttemptReport,
  DependencyType,
  EndCause,
  JobState,
  type NewArray,
  type NewJob,
  type Output,
  type PlaceOutput,
} from '../types.ts';
import type { EndedArray, EndedAttempt, EndedJob } from '../view.ts';
import { attemptReport, newJob, outcome, TestCluster, testId } from './cluster.ts';

/** A generator of whole numbers: the same seed gives the same world (mulberry32, by Tommy Ettinger, public domain). */
export function seeded(seed: number): (bound: number) => number {
  let state = seed >>> 0;
  return (bound) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % bound;
  };
}

interface Held {
  readonly placement: PlaceOutput;
  phase: AttemptReport['phase'];
  outcome: AttemptOutcome | undefined;
  stopped: boolean;
  acked: boolean;
}

/** An agent as the contract describes it: a journal that survives its process, and real starts and ends of jobs. */
class Agent {
  readonly name: string;
  incarnation = 1;
  watermark = 0;
  session = 0;
  inbox: Output[] = [];
  outbox: AttemptReport[] = [];
  readonly held = new Map<string, Held>();

  constructor(name: string) {
    this.name = name;
  }
}

const unitOf = ({ jobId, childIndex }: { jobId: Uint8Array; childIndex: number }): string =>
  `${hexJobId(jobId)}:${childIndex}`;
const keyOf = (attempt: { jobId: Uint8Array; childIndex: number; attempt: number }): string =>
  `${unitOf(attempt)}/${attempt.attempt}`;

/** Children of every array of the world, so that N_TO_N can be between any two. */
const ARRAY_SIZE = 5;

/**
 * A cluster under every kind of bad luck: messages lost, doubled and late, processes that die between any two steps, state
 * directories that vanish. `run` plays one seed; `calm` lets everything come to its end; `judge` says what must hold.
 */
export class World {
  readonly cluster = new TestCluster();
  readonly agents: Agent[];
  /** Jobs whose acceptance was durable when it was answered. */
  readonly acknowledged = new Set<number>();
  /** Those of them that are arrays. */
  readonly arrays = new Set<number>();
  /** Starts of attempts, and how many attempts of a job run right now. */
  readonly starts = new Map<string, number>();
  readonly violations: string[] = [];
  private readonly running = new Map<string, number>();
  private readonly truth = new Map<string, AttemptOutcome>();
  private readonly pick: (bound: number) => number;
  private jobs = 0;
  private answered: number[] = [];

  constructor(seed: number, nodes = 3) {
    this.pick = seeded(seed);
    this.agents = Array.from({ length: nodes }, (_, n) => new Agent(`n${n}`));
    for (const agent of this.agents) this.connect(agent);
    this.turn();
  }

  run(steps: number): void {
    for (let at = 0; at < steps; at++) this.step();
  }

  private step(): void {
    const agent = this.agents[this.pick(this.agents.length)] as Agent;
    const roll = this.pick(100);
    if (roll < 15) this.submit();
    else if (roll < 17) this.resubmit();
    else if (roll < 20) this.cancel();
    else if (roll < 40) this.deliver(agent);
    else if (roll < 55) this.work(agent);
    else if (roll < 70) this.report(agent);
    else if (roll < 93) this.turn();
    else if (roll < 95) this.crashControl();
    else if (roll < 98) this.connect(agent);
    else if (roll < 99) this.disconnect(agent);
    else this.loseState(agent);
  }

  private submit(): void {
    const n = this.jobs++;
    const dependsOn = n > 0 && this.pick(4) === 0 ? [this.dependency(n)] : [];
    const array = this.pick(5) === 0 ? this.newArray(n, dependsOn) : undefined;
    const retry = { attempts: 1 + this.pick(3), rules: [] };
    const milliVcpu = 500 * (1 + this.pick(4));
    const requirements = { ...newJob(n).requirements, milliVcpu };
    const [answer] = this.cluster.submit(
      newJob(n, { dependsOn, array, retry, requirements, hold: this.pick(20) === 0 }),
    );
    if (answer?.ok === true) this.answered.push(n);
  }

  private newArray(n: number, dependsOn: NewJob['dependsOn'][number][]): NewArray {
    const others = [...this.arrays];
    if (others.length > 0 && this.pick(3) === 0) {
      const jobId = testId(others[this.pick(others.length)] as number);
      dependsOn.push({ jobId, type: DependencyType.nToN, ended: undefined });
    }
    this.arrays.add(n);
    return {
      size: ARRAY_SIZE,
      concurrency: this.pick(3),
      failFastAfter: this.pick(4) === 0 ? 1 + this.pick(3) : 0,
      canary: this.pick(4) === 0 ? 1 + this.pick(ARRAY_SIZE) : 0,
      sequential: this.pick(4) === 0,
    };
  }

  private dependency(n: number): NewJob['dependsOn'][number] {
    return { jobId: testId(this.pick(n)), type: this.pick(3) === 0 ? 3 : 0, ended: undefined };
  }

  /** The same id again, with another request: must be refused, and change nothing. */
  private resubmit(): void {
    if (this.jobs === 0) return;
    const n = this.pick(this.jobs);
    if (!this.acknowledged.has(n)) return;
    const [answer] = this.cluster.submit(newJob(n, { digest: testId(5) }));
    if (answer?.ok !== false || answer.code !== 'alreadyExists') this.violations.push(`job ${n} was accepted twice`);
  }

  private cancel(): void {
    if (this.jobs === 0) return;
    const jobId = testId(this.pick(this.jobs));
    const jobs = [this.pick(2) === 0 ? jobId : { jobId, child: this.pick(ARRAY_SIZE) }];
    const mode = this.pick(2) === 0 ? 'terminate' : 'pendingOnly';
    this.cluster.apply({ kind: 'cancelJobs', jobs, reason: 'changed my mind', mode, graceSeconds: undefined });
  }

  private turn(): void {
    const outputs = this.cluster.step(this.pick(2_000));
    for (const n of this.answered.splice(0)) this.acknowledged.add(n);
    for (const output of outputs) {
      if (output.kind !== 'place' && output.kind !== 'stop') continue;
      const agent = this.agents.find(({ name }) => name === output.node);
      if (agent !== undefined && agent.session === output.session) agent.inbox.push(output);
    }
  }

  private crashControl(): void {
    this.answered = [];
    this.cluster.crash();
    for (const agent of this.agents) drop(agent);
  }

  private disconnect(agent: Agent): void {
    const { name: node, session } = agent;
    this.cluster.apply({ kind: 'nodeDisconnected', account: 'default', node, session });
    drop(agent);
  }

  /** The state directory is gone, and with it (here) the processes. */
  private loseState(agent: Agent): void {
    for (const [key, held] of agent.held) if (held.phase === 'running') this.stopped(held, key);
    agent.held.clear();
    agent.incarnation += 1;
    agent.watermark = 0;
    this.connect(agent);
  }

  private connect(agent: Agent): void {
    drop(agent);
    const attempts = [...agent.held.values()].filter(({ acked }) => !acked).map(reportOf);
    const { session, reply } = this.cluster.connect(agent.name, {
      incarnation: `${agent.name}-${agent.incarnation}`,
      watermark: agent.watermark,
      attempts,
      completeHistory: true,
    });
    if (!reply.ok) this.violations.push(`hello of ${agent.name} was refused: ${reply.message}`);
    agent.session = session;
  }

  /** A message reaches its agent, sometimes twice. */
  private deliver(agent: Agent): void {
    const message = this.pick(8) === 0 ? agent.inbox[0] : agent.inbox.shift();
    if (message?.kind === 'place') this.accept(agent, message);
    if (message?.kind === 'stop') this.stop(agent, keyOf(message));
  }

  private accept(agent: Agent, placement: PlaceOutput): void {
    if (placement.sequence <= agent.watermark) {
      this.tellAgain(agent, placement);
      return;
    }
    agent.watermark = placement.sequence;
    const phase = this.pick(15) === 0 ? 'rejected' : 'accepted';
    const held: Held = { placement, phase, outcome: undefined, stopped: false, acked: false };
    agent.held.set(keyOf(placement), held);
    agent.outbox.push(reportOf(held));
  }

  /** What came before comes again: the agent says what it knows of it, and never runs it. */
  private tellAgain(agent: Agent, placement: PlaceOutput): void {
    const held = agent.held.get(keyOf(placement));
    if (held?.placement.sequence === placement.sequence) agent.outbox.push(reportOf(held));
    else agent.outbox.push(attemptReport(placement, 'ended', outcome(EndCause.nodeLost)));
  }

  private stop(agent: Agent, key: string): void {
    const held = agent.held.get(key);
    if (held === undefined || held.phase === 'ended' || held.phase === 'rejected') return;
    held.stopped = true;
    if (held.phase === 'accepted') this.end(agent, held, outcome(EndCause.stopped), key);
  }

  /** A job of the agent starts or ends. */
  private work(agent: Agent): void {
    const open = [...agent.held].filter(([, { phase }]) => phase === 'accepted' || phase === 'running');
    const [key, held] = open[this.pick(Math.max(1, open.length))] ?? [];
    if (key === undefined || held === undefined) return;
    if (held.phase === 'accepted') this.start(agent, held, key);
    else if (held.stopped) this.end(agent, held, outcome(EndCause.stopped, 143), key);
    else this.end(agent, held, outcome(EndCause.exited, this.pick(3) === 0 ? 1 : 0), key);
  }

  private start(agent: Agent, held: Held, key: string): void {
    held.phase = 'running';
    this.starts.set(key, (this.starts.get(key) ?? 0) + 1);
    const job = unitOf(held.placement);
    const now = (this.running.get(job) ?? 0) + 1;
    this.running.set(job, now);
    if ((this.starts.get(key) ?? 0) > 1) this.violations.push(`attempt ${key} ran twice`);
    if (now > 1) this.violations.push(`two attempts of job ${job} ran at once`);
    agent.outbox.push(reportOf(held));
  }

  private end(agent: Agent, held: Held, how: AttemptOutcome, key: string): void {
    if (held.phase === 'running') this.stopped(held, key);
    held.phase = 'ended';
    held.outcome = how;
    this.truth.set(key, how);
    agent.outbox.push(reportOf(held));
  }

  private stopped(held: Held, _key: string): void {
    const job = unitOf(held.placement);
    this.running.set(job, (this.running.get(job) ?? 0) - 1);
  }

  /** Reports reach the control plane, sometimes twice; the ack is durable only with the next turn. */
  private report(agent: Agent): void {
    const reports = this.pick(6) === 0 ? agent.outbox.slice() : agent.outbox.splice(0);
    if (reports.length === 0) return;
    const { name: node, session } = agent;
    const heard = this.cluster.apply({
      kind: 'nodeReports',
      account: 'default',
      node,
      session,
      sequence: 1,
      historyEnded: false,
      reports,
    });
    if (!heard) return;
    this.turn();
    for (const report of reports) {
      const held = agent.held.get(keyOf(report));
      if (held !== undefined && (report.phase === 'ended' || report.phase === 'rejected')) held.acked = true;
    }
  }

  /** The world is calm again: whatever is alive comes to its end. */
  calm(): void {
    for (const agent of this.agents) this.connect(agent);
    const held = Array.from({ length: this.jobs }, (_, n) => testId(n));
    this.cluster.apply({ kind: 'releaseJobs', jobs: held });
    for (let round = 0; round < 50 * this.jobs + 100; round++) {
      this.turn();
      for (const agent of this.agents) {
        while (agent.inbox.length > 0) this.deliver(agent);
        this.work(agent);
        this.report(agent);
      }
      if (this.cluster.core.view.status().liveJobs.every((count) => count === 0)) return;
    }
    this.violations.push(`jobs are alive when all is calm: ${this.cluster.core.view.status().liveJobs.join()}`);
  }

  judge(): readonly string[] {
    for (const n of this.acknowledged) {
      const job = this.cluster.ended(n);
      if (job.array === undefined) this.judgeEnd(job.id, -1, job.state, job.lastAttempt);
      else this.judgeArray(job, job.array);
    }
    return this.violations;
  }

  /** An attempt's end is told as its agent knows it. */
  private judgeEnd(jobId: Uint8Array, childIndex: number, state: JobState, last: EndedAttempt | undefined): void {
    if (last === undefined || last.cause === EndCause.nodeLost) return;
    const key = keyOf({ jobId, childIndex, attempt: last.attempt });
    const truth = known(this.truth.get(key), `what became of ${key}`);
    if (truth.cause !== last.cause || truth.exitCode !== last.exitCode)
      this.violations.push(`${key} says another end than its agent`);
    const succeeded = truth.cause === EndCause.exited && truth.exitCode === 0;
    if ((state === JobState.succeeded) !== succeeded) this.violations.push(`${key} ended in state ${state}`);
  }

  /** Every child has one end on disk, and the parent's record says the same of each. */
  private judgeArray(job: EndedJob, { size, failed, succeeded }: EndedArray): void {
    const content = new ChunkContent();
    const ends = Array.from({ length: size }, () => 0);
    const states = Array.from({ length: size }, (): JobState => JobState.failed);
    for (const { key, value } of this.cluster.arrayRecords(job.number)) {
      if (chunkOf(key).chunk !== RANGE_ENDS) content.add(value);
      else for (const child of decodeRangeEnd(value).children.values()) ends[child] = (ends[child] ?? 0) + 1;
    }
    for (let child = 0; child < size; child++) {
      const record = content.get(child);
      if (record?.kind !== 'ended') continue;
      ends[child] = (ends[child] ?? 0) + 1;
      states[child] = record.state;
      this.judgeEnd(job.id, child, record.state, record.lastAttempt);
    }
    const wrong = states.filter((state, child) => (state === JobState.failed) !== failed.has(child));
    if (ends.some((count) => count !== 1))
      this.violations.push(`array ${job.number}: children ended ${ends.join()} times`);
    if (wrong.length > 0 || failed.size + succeeded !== size)
      this.violations.push(`array ${job.number}: ${states.join()}`);
    if ((job.state === JobState.failed) !== failed.size > 0) this.violations.push(`array ${job.number}: ${job.state}`);
  }
}

function drop(agent: Agent): void {
  agent.inbox = [];
  agent.outbox = [];
  agent.session = -1;
}

function reportOf({ placement, phase, outcome: how }: Held): AttemptReport {
  return attemptReport(placement, phase, how);
}
