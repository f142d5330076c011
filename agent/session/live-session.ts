import { setTimeout as delay } from 'node:timers/promises';
import { create, toBinary } from '@bufbuild/protobuf';
import {
  AgentHelloSchema,
  type AttemptReport,
  AttemptReportSchema,
  AttemptReportsSchema,
  type ConnectRequest,
  type ConnectResponse,
  type ControlHello,
  GoodbyeSchema,
  HeartbeatSchema,
  InventoryUpdateSchema,
  type Stop,
} from '@galley/proto';
import { type AttemptKey, attemptIdFault, attemptKey } from '../journal/attempt-key.ts';
import type { EndedAttempt } from '../journal/history.ts';
import { type Dialled, send } from './connection.ts';
import type { SessionOptions } from './options.ts';
import { PLACEMENT_CREDIT, PROTOCOL } from './protocol.ts';
import type { ReportQueue } from './report-queue.ts';

/** Bytes of remembered attempts after which the hello takes no further segment of the history; a message has at most 8 MiB. */
const MAX_HELLO_ATTEMPT_BYTES = 3 * 1024 * 1024;
/** How long a goodbye waits for the control plane to take it. */
const GOODBYE_MS = 500;
/** Reports of the history that are handed to the queue at once: less than it holds. */
const HISTORY_REPORTS = 2_000;
/** Between looks whether the reports of the history so far have gone out. */
const HISTORY_PAUSE_MS = 20;
/** Heartbeats that may wait for their answer; beyond it the connection is as good as dead. */
const MAX_UNANSWERED_HEARTBEATS = 100;
/** A control plane that names no interval, or an absurd one, gets these, in milliseconds. */
const HEARTBEAT = { least: 100, usual: 5_000 };
/** The lease of a control plane that names none, in milliseconds. */
const USUAL_LEASE_MS = 60_000;
/** Heartbeats without an answer before the connection counts as dead, when that is longer than `silentMs`. */
const SILENT_HEARTBEATS = 3;

/** One connection, from dialling to its end. */
export class LiveSession {
  readonly #options: SessionOptions;
  readonly #dialled: Dialled<ConnectRequest, ConnectResponse>;
  readonly #queue: ReportQueue;
  readonly #ended = Promise.withResolvers<string>();
  readonly #hello = Promise.withResolvers<ControlHello>();
  readonly #heartbeats = new Map<bigint, number>();
  #historyRest: AsyncGenerator<readonly EndedAttempt[]> | undefined;
  #helloSentAtUptimeMs = 0;
  #leaseMs = 0;
  #heartbeatSequence = 0n;
  #greeted = false;
  #running = false;
  #full = false;
  #flushing = false;
  #heardAt = performance.now();
  #silentMs: number;
  #timers: NodeJS.Timeout[] = [];

  constructor(options: SessionOptions, dialled: Dialled<ConnectRequest, ConnectResponse>, queue: ReportQueue) {
    this.#options = options;
    this.#dialled = dialled;
    this.#queue = queue;
    this.#silentMs = options.times.silentMs;
    const { stream } = dialled;
    const fail = (error: Error) => {
      this.#hello.reject(error);
      this.#ended.reject(error);
    };
    stream.on('data', (message: ConnectResponse) => this.#onMessage(message));
    stream.on('error', fail);
    stream.on('end', () => fail(new Error('the control plane ended the connection')));
    stream.on('drain', () => {
      this.#full = false;
      this.#pump();
    });
    this.#hello.promise.catch(() => undefined);
    this.#ended.promise.catch(() => undefined);
  }

  /** Sends the hello and waits for the answer. */
  async greet(complete: boolean): Promise<ControlHello> {
    const options = this.#options;
    const attempts = await this.#heldReports(complete);
    const { journal } = options;
    const deadline = setTimeout(() => {
      this.#hello.reject(new Error(`no answer within ${options.times.helloMs} ms`));
    }, options.times.helloMs);
    this.#timers.push(deadline);
    this.#helloSentAtUptimeMs = options.uptimeMs();
    const hello = create(AgentHelloSchema, {
      clusterId: journal.clusterId,
      nodeName: options.node,
      computeEnvironment: options.computeEnvironment,
      incarnation: journal.incarnation,
      bootId: options.bootId,
      protocolMin: PROTOCOL.min,
      protocolMax: PROTOCOL.max,
      features: options.inventory().features,
      placementCredit: PLACEMENT_CREDIT,
      ...(journal.witness === undefined ? {} : { witness: journal.witness }),
      placementWatermark: journal.watermark,
      attempts,
      inventory: options.inventory(),
      agentTimeMs: BigInt(Date.now()),
      completeHistory: complete,
      historyContinues: this.#historyRest !== undefined,
      account: options.account,
    });
    send(this.#dialled.stream, { case: 'hello', value: hello });
    try {
      return await this.#hello.promise;
    } finally {
      clearTimeout(deadline);
    }
  }

  /** Until the connection is over; resolves or rejects with why. */
  async run(hello: ControlHello): Promise<string> {
    const { attempts, times } = this.#options;
    const interval = Math.max(hello.heartbeatIntervalMs || HEARTBEAT.usual, HEARTBEAT.least);
    this.#silentMs = Math.max(times.silentMs, interval * SILENT_HEARTBEATS);
    this.#leaseMs = hello.leaseMs || USUAL_LEASE_MS;
    this.#renewLease(this.#helloSentAtUptimeMs);
    this.#running = true;
    this.#timers.push(
      setInterval(() => this.#heartbeat(), interval),
      setInterval(() => this.#watch(), Math.min(1_000, this.#silentMs / 4)),
    );
    this.#queue.connected(attempts.keys());
    this.#pump();
    this.#heartbeat();
    this.#dialled.stream.resume();
    void attempts.reportRemembered(believedKeys(hello));
    void this.#sendHistoryRest();
    return await this.#ended.promise;
  }

  /** There is something to report. Reports of the same moment share a message. */
  flush(): void {
    if (this.#flushing || !this.#running) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      this.#pump();
    });
  }

  sendInventory(): void {
    if (!this.#running) return;
    const value = create(InventoryUpdateSchema, { inventory: this.#options.inventory() });
    send(this.#dialled.stream, { case: 'inventory', value });
  }

  /** The agent stops on purpose: resolves when the control plane has ended the stream in answer, or soon. */
  async goodbye(): Promise<void> {
    if (!this.#running) return;
    this.#pump();
    send(this.#dialled.stream, { case: 'goodbye', value: create(GoodbyeSchema, { reason: 'the agent was stopped' }) });
    this.#dialled.stream.end();
    const patience = new AbortController();
    await Promise.race([
      this.#ended.promise.catch(() => undefined),
      delay(GOODBYE_MS, undefined, { signal: patience.signal }).catch(() => undefined),
    ]);
    patience.abort();
  }

  end(): void {
    this.#running = false;
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers = [];
    this.#dialled.close();
    void this.#historyRest?.return(undefined);
  }

  #onMessage({ message }: ConnectResponse): void {
    this.#heardAt = performance.now();
    if (!this.#greeted) {
      if (message.case !== 'hello') {
        this.#hello.reject(new Error(`the control plane's first message is ${message.case ?? 'empty'}, not its hello`));
        return;
      }
      this.#greeted = true;
      // What follows waits until the hello is found acceptable.
      this.#dialled.stream.pause();
      this.#hello.resolve(message.value);
      return;
    }
    this.#handle(message);
  }

  #handle(message: ConnectResponse['message']): void {
    const { attempts, journal, log } = this.#options;
    // Nothing here is waited for: acks and heartbeats must not stand behind a slow disk.
    const failed = (error: unknown) => log.error({ err: error }, 'a message of the control plane was not carried out');
    switch (message.case) {
      case 'heartbeatAck': {
        const sentAt = this.#heartbeats.get(message.value.sequence);
        this.#heartbeats.delete(message.value.sequence);
        if (sentAt !== undefined) this.#renewLease(sentAt);
        journal.witnessed(message.value.position);
        return;
      }
      case 'placements':
        attempts.place(message.value.placements, message.value.position).then(() => this.#afterPlacement(), failed);
        return;
      case 'reportsAck':
        for (const end of this.#queue.acked(message.value.sequence)) attempts.acked(end);
        return;
      case 'stops':
        for (const stop of message.value.stops) this.#stop(stop).catch(failed);
        return;
      case 'releases':
        // Durable at the control plane; whether it knows the resources to be free is for the ack of the report to say.
        for (const id of message.value.ids) {
          if (attemptIdFault(id) === undefined) attempts.acked({ key: attemptKey(id), released: false });
        }
        return;
      case 'hello':
      case undefined:
        return;
    }
  }

  async #stop(stop: Stop): Promise<void> {
    const { attempts, log } = this.#options;
    const fault = attemptIdFault(stop.id);
    if (stop.id === undefined || fault !== undefined) {
      log.error(`a stop cannot be carried out: ${fault}`);
      return;
    }
    await attempts.stop({
      id: stop.id,
      reason: stop.reason,
      ...(stop.graceSeconds === undefined ? {} : { graceSeconds: stop.graceSeconds }),
    });
  }

  #pump(): void {
    const { attempts } = this.#options;
    while (this.#running && !this.#full && this.#queue.size > 0) {
      const reports = this.#queue.take((key) => attempts.report(key));
      if (reports.length === 0) continue;
      const value = create(AttemptReportsSchema, { reports });
      this.#full = !send(this.#dialled.stream, { case: 'reports', value });
    }
  }

  #heartbeat(): void {
    const { stream } = this.#dialled;
    if (!this.#running || this.#heartbeats.size >= MAX_UNANSWERED_HEARTBEATS) return;
    const sequence = ++this.#heartbeatSequence;
    this.#heartbeats.set(sequence, this.#options.uptimeMs());
    const value = create(HeartbeatSchema, {
      sequence,
      usage: this.#options.usage(),
      agentTimeMs: BigInt(Date.now()),
    });
    if (!send(stream, { case: 'heartbeat', value })) this.#full = true;
  }

  /** Keepalive of HTTP/2 says that the peer's machine lives; only a word of the control plane says that it does. */
  #watch(): void {
    const silent = performance.now() - this.#heardAt;
    if (silent > this.#silentMs) {
      this.#ended.reject(new Error(`nothing heard from the control plane for ${Math.round(silent / 1000)} s`));
    }
  }

  #renewLease(sentAtUptimeMs: number): void {
    const { lease, attempts } = this.#options;
    lease.renew(sentAtUptimeMs, this.#leaseMs);
    if (attempts.fenced) void lease.persist();
  }

  #afterPlacement(): void {
    const { lease, attempts } = this.#options;
    if (attempts.fenced) void lease.persist();
  }

  /** Everything held; with `complete`, also as much of the remembered as fits. */
  async #heldReports(complete: boolean): Promise<AttemptReport[]> {
    const { attempts, journal } = this.#options;
    const reports: AttemptReport[] = [];
    for (const key of attempts.keys()) {
      const report = attempts.report(key);
      if (report !== undefined) reports.push(report);
    }
    if (!complete) return reports;
    const history = journal.rememberedAll();
    this.#historyRest = history;
    for (let bytes = 0; bytes < MAX_HELLO_ATTEMPT_BYTES; ) {
      const next = await history.next();
      if (next.done === true) {
        this.#historyRest = undefined;
        break;
      }
      for (const ended of next.value) {
        const report = rememberedReport(ended);
        bytes += toBinary(AttemptReportSchema, report).length;
        reports.push(report);
      }
    }
    return reports;
  }

  /** What of the complete history the hello had no room for. */
  async #sendHistoryRest(): Promise<void> {
    const rest = this.#historyRest;
    if (rest === undefined) return;
    try {
      for (let next = await rest.next(); next.done !== true && this.#running; next = await rest.next()) {
        for (let at = 0; at < next.value.length && this.#running; at += HISTORY_REPORTS) {
          for (const ended of next.value.slice(at, at + HISTORY_REPORTS))
            this.#queue.addRemembered(rememberedReport(ended));
          this.#pump();
          while (this.#running && this.#queue.size > 0) await delay(HISTORY_PAUSE_MS);
        }
      }
      if (!this.#running) return;
      send(this.#dialled.stream, { case: 'reports', value: create(AttemptReportsSchema, { historyEnded: true }) });
    } catch (error) {
      this.#options.log.error({ err: error }, 'the history of ended attempts could not be read to its end');
    }
  }
}

function believedKeys(hello: ControlHello): Set<AttemptKey> {
  return new Set(hello.believed.flatMap((id) => (attemptIdFault(id) === undefined ? [attemptKey(id)] : [])));
}

function rememberedReport({ report, endedAtMs }: EndedAttempt): AttemptReport {
  const ageMs = BigInt(Math.max(0, Date.now() - endedAtMs));
  return create(AttemptReportSchema, { ...report, ageMs, resourcesReleased: true });
}
