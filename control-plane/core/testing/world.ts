import { known } from '../assert.ts';
import { hexJobId } from '../ids.ts';
import {
  type AttemptOutcome,
  type AttemptReport,
  EndCause,
  JobState,
  type NewJob,
  type Output,
  type PlaceOutput,
} from '../types.ts';
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

const keyOf = (jobId: Uint8Array, attempt: number): string => `${hexJobId(jobId)}/${attempt}`;

/**
 * A cluster under every kind of bad luck: messages lost, doubled and late, processes that die between any two steps, state
 * directories that vanish. `run` plays one seed; `calm` lets everything come to its end; `judge` says what must hold.
 */
export class World {
  readonly cluster = new TestCluster();
  readonly agents: Agent[];
  /** Jobs whose acceptance was durable when it was answered. */
  readonly acknowledged = new Set<number>();
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
    const retry = { attempts: 1 + this.pick(3), rules: [] };
    const milliVcpu = 500 * (1 + this.pick(4));
    const requirements = { ...newJob(n).requirements, milliVcpu };
    const [answer] = this.cluster.submit(newJob(n, { dependsOn, retry, requirements, hold: this.pick(20) === 0 }));
    if (answer?.ok === true) this.answered.push(n);
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
    const jobs = [testId(this.pick(this.jobs))];
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
    if (message?.kind === 'stop') this.stop(agent, keyOf(message.jobId, message.attempt));
  }

  private accept(agent: Agent, placement: PlaceOutput): void {
    if (placement.sequence <= agent.watermark) {
      this.tellAgain(agent, placement);
      return;
    }
    agent.watermark = placement.sequence;
    const phase = this.pick(15) === 0 ? 'rejected' : 'accepted';
    const held: Held = { placement, phase, outcome: undefined, stopped: false, acked: false };
    agent.held.set(keyOf(placement.jobId, placement.attempt), held);
    agent.outbox.push(reportOf(held));
  }

  /** What came before comes again: the agent says what it knows of it, and never runs it. */
  private tellAgain(agent: Agent, placement: PlaceOutput): void {
    const held = agent.held.get(keyOf(placement.jobId, placement.attempt));
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
    const job = hexJobId(held.placement.jobId);
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
    const job = hexJobId(held.placement.jobId);
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
      const held = agent.held.get(keyOf(report.jobId, report.attempt));
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
      const last = job.lastAttempt;
      if (last === undefined || last.cause === EndCause.nodeLost) continue;
      const truth = known(this.truth.get(keyOf(job.id, last.attempt)), `what became of job ${n}`);
      if (truth.cause !== last.cause || truth.exitCode !== last.exitCode)
        this.violations.push(`job ${n} says another end than its agent`);
      const succeeded = truth.cause === EndCause.exited && truth.exitCode === 0;
      if ((job.state === JobState.succeeded) !== succeeded)
        this.violations.push(`job ${n} ended in state ${job.state}`);
    }
    return this.violations;
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
