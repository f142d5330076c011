import { EventEmitter } from 'node:events';
import { create } from '@bufbuild/protobuf';
import {
  type AgentHello,
  AgentService,
  type AttemptId,
  AttemptPhase,
  type AttemptReport,
  type ConnectRequest,
  type ConnectResponse,
  ConnectResponseSchema,
  LogStream,
  type Placement,
  PlacementsSchema,
  SERVER_OPTIONS,
  type ShipLogsRequest,
  type ShipLogsResponse,
  ShipLogsResponseSchema,
  type Stop,
  StopsSchema,
  StorePositionSchema,
  serviceDefinition,
  toServiceError,
} from '@galley/proto';
import { Server, ServerCredentials, type ServerDuplexStream, status } from '@grpc/grpc-js';
import { type AttemptKey, attemptKey } from '../../journal/attempt-key.ts';

type ControlStream = ServerDuplexStream<ConnectRequest, ConnectResponse>;
type LogsStream = ServerDuplexStream<ShipLogsRequest, ShipLogsResponse>;

/** What the scripted control plane does; a test changes it as it goes. */
export interface Script {
  clusterId: string;
  epoch: bigint;
  protocol: number;
  heartbeatIntervalMs: number;
  leaseMs: number;
  token: string;
  /** Acks reports and heartbeats. */
  acks: boolean;
  heartbeatAcks: boolean;
  sendCompleteHistory: (hello: AgentHello) => boolean;
  /** Acks log messages; a number of ms asks to retry later, once. */
  logs: 'ack' | 'silent' | { retryAfterMs: number };
}

/** A stream of log bytes as a store would hold it, with gaps as the text of their reason. */
export interface ReceivedLog {
  readonly bytes: Buffer;
  readonly gaps: readonly { offset: number; length: number; reason: string }[];
  readonly length: number;
}

interface Events {
  hello: [hello: AgentHello];
  report: [report: AttemptReport];
  heartbeat: [];
  log: [];
  closed: [];
}

/** A control plane that does as it is told, on a real server: it remembers everything that an agent says. */
export class ScriptedControlPlane extends EventEmitter<Events> {
  readonly script: Script = {
    clusterId: 'cluster-1',
    epoch: 1n,
    protocol: 1,
    heartbeatIntervalMs: 200,
    leaseMs: 60_000,
    token: 'secret',
    acks: true,
    heartbeatAcks: true,
    sendCompleteHistory: () => false,
    logs: 'ack',
  };
  readonly hellos: AgentHello[] = [];
  readonly reports: AttemptReport[] = [];
  readonly logMessages: ShipLogsRequest[] = [];
  readonly #logs = new Map<string, { chunks: Map<number, Buffer | { length: number; reason: string }>; end: number }>();
  readonly #logStreams = new Set<LogsStream>();
  #server: Server | undefined;
  #stream: ControlStream | undefined;
  #sequence = 0n;
  #placed = 0n;
  port = 0;

  static async start(script: Partial<Script> = {}): Promise<ScriptedControlPlane> {
    const plane = new ScriptedControlPlane();
    plane.setMaxListeners(100);
    Object.assign(plane.script, script);
    await plane.listen();
    return plane;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  async listen(): Promise<void> {
    const server = new Server(SERVER_OPTIONS);
    server.addService(serviceDefinition(AgentService), {
      connect: (stream: ControlStream) => this.#onConnect(stream),
      shipLogs: (stream: LogsStream) => this.#onShipLogs(stream),
    });
    this.port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`127.0.0.1:${this.port}`, ServerCredentials.createInsecure(), (error, port) => {
        if (error === null) resolve(port);
        else reject(error);
      });
    });
    this.#server = server;
  }

  /** As kill -9 would: every connection breaks. */
  stop(): void {
    this.#stream = undefined;
    this.#logStreams.clear();
    this.#server?.forceShutdown();
    this.#server = undefined;
  }

  /** Breaks the control connection only. */
  drop(): void {
    this.#stream?.emit('error', toServiceError({ code: status.UNAVAILABLE, message: 'dropped by the test' }));
    this.#stream = undefined;
  }

  get listening(): boolean {
    return this.#server !== undefined;
  }

  /** Attempts that an agent has taken and that are not over. */
  get unfinished(): AttemptId[] {
    const last = new Map<AttemptKey, AttemptReport>();
    for (const report of this.reports) if (report.id !== undefined) last.set(attemptKey(report.id), report);
    return [...last.values()].flatMap(({ id, phase }) =>
      id !== undefined && phase !== AttemptPhase.ENDED && phase !== AttemptPhase.REJECTED ? [id] : [],
    );
  }

  get connected(): boolean {
    return this.#stream !== undefined;
  }

  /** Numbers and sends placements; returns them. */
  place(...placements: Placement[]): Placement[] {
    for (const placement of placements) if (placement.sequence === 0n) placement.sequence = ++this.#placed;
    const value = create(PlacementsSchema, { placements, position: this.position });
    this.send({ case: 'placements', value });
    return placements;
  }

  stopAttempts(...stops: Stop[]): void {
    this.send({ case: 'stops', value: create(StopsSchema, { stops }) });
  }

  get position() {
    return create(StorePositionSchema, { epoch: this.script.epoch, sequence: ++this.#sequence });
  }

  send(message: ConnectResponse['message']): void {
    this.#write(create(ConnectResponseSchema, { message }));
  }

  ack(sequence: bigint): void {
    this.#write(create(ConnectResponseSchema, { message: { case: 'reportsAck', value: { sequence } } }));
  }

  /** The latest state that was reported of an attempt. */
  latest(key: AttemptKey): AttemptReport | undefined {
    return this.reports.findLast((report) => report.id !== undefined && attemptKey(report.id) === key);
  }

  log(key: AttemptKey, stream: LogStream = LogStream.OUTPUT): ReceivedLog {
    const kept = this.#logs.get(`${key} ${stream}`);
    const gaps: { offset: number; length: number; reason: string }[] = [];
    const parts: Buffer[] = [];
    for (const [offset, part] of kept?.chunks ?? []) {
      if (Buffer.isBuffer(part)) parts.push(part);
      else gaps.push({ offset, ...part });
    }
    return { bytes: Buffer.concat(parts), gaps, length: kept?.end ?? 0 };
  }

  /** Forgets what a log has from this offset on, as after a crash that lost what was not synced. */
  loseLog(key: AttemptKey, from: number, stream: LogStream = LogStream.OUTPUT): void {
    const kept = this.#logs.get(`${key} ${stream}`);
    if (kept === undefined) return;
    const bytes = this.log(key, stream).bytes.subarray(0, from);
    kept.chunks = new Map([[0, bytes]]);
    kept.end = from;
  }

  /** Waits until a condition holds; it is looked at whenever the agent says something. */
  async until(what: string, condition: () => boolean, timeoutMs = 20_000): Promise<void> {
    if (condition()) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const look = () => {
      if (condition()) resolve();
    };
    const timer = setTimeout(() => reject(new Error(`timed out waiting until ${what}`)), timeoutMs);
    const events = ['hello', 'report', 'heartbeat', 'log', 'closed'] as const;
    for (const event of events) this.on(event, look);
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      for (const event of events) this.off(event, look);
    }
  }

  async untilPhase(key: AttemptKey, phase: AttemptPhase, timeoutMs?: number): Promise<AttemptReport> {
    await this.until(`${key} is ${phaseName(phase)}`, () => this.latest(key)?.phase === phase, timeoutMs);
    const report = this.latest(key);
    if (report === undefined) throw new Error('unreachable: the condition held');
    return report;
  }

  #write(message: ConnectResponse): void {
    this.#stream?.write(message);
  }

  #onConnect(stream: ControlStream): void {
    if (String(stream.metadata.get('authorization')[0]) !== `Bearer ${this.script.token}`) {
      stream.emit('error', toServiceError({ code: status.UNAUTHENTICATED, message: 'the token is not known' }));
      return;
    }
    stream.on('error', () => undefined);
    stream.on('data', (request: ConnectRequest) => this.#onRequest(stream, request));
    stream.on('end', () => stream.end());
    stream.on('close', () => {
      if (this.#stream === stream) this.#stream = undefined;
      this.emit('closed');
    });
  }

  #onRequest(stream: ControlStream, { message }: ConnectRequest): void {
    switch (message.case) {
      case 'hello': {
        this.hellos.push(message.value);
        this.#stream = stream;
        if (message.value.placementWatermark > this.#placed) this.#placed = message.value.placementWatermark;
        const { clusterId, protocol, heartbeatIntervalMs, leaseMs, sendCompleteHistory } = this.script;
        const hello = {
          clusterId,
          protocol,
          heartbeatIntervalMs,
          leaseMs,
          position: this.position,
          sendCompleteHistory: sendCompleteHistory(message.value),
        };
        this.#write(create(ConnectResponseSchema, { message: { case: 'hello', value: hello } }));
        this.emit('hello', message.value);
        return;
      }
      case 'heartbeat': {
        const { sequence } = message.value;
        if (this.script.heartbeatAcks) {
          const value = { sequence, position: this.position };
          this.#write(create(ConnectResponseSchema, { message: { case: 'heartbeatAck', value } }));
        }
        this.emit('heartbeat');
        return;
      }
      case 'reports': {
        for (const report of message.value.reports) {
          this.reports.push(report);
          this.emit('report', report);
        }
        const last = message.value.reports.at(-1);
        if (this.script.acks && last !== undefined) this.ack(last.sequence);
        return;
      }
      case 'inventory':
      case 'goodbye':
      case undefined:
        return;
    }
  }

  #onShipLogs(stream: LogsStream): void {
    this.#logStreams.add(stream);
    stream.on('error', () => undefined);
    stream.on('end', () => stream.end());
    stream.on('data', (request: ShipLogsRequest) => {
      const { logs } = this.script;
      if (typeof logs === 'object') {
        this.script.logs = 'ack';
        stream.write(create(ShipLogsResponseSchema, { retryAfterMs: logs.retryAfterMs }));
        return;
      }
      this.logMessages.push(request);
      const resends = logs === 'silent' ? [] : this.#keep(request);
      if (logs === 'ack') stream.write(create(ShipLogsResponseSchema, { ackedSequence: request.sequence, resends }));
      this.emit('log');
    });
  }

  /** As the log store does: what overlaps is trimmed, what is ahead is refused. */
  #keep(request: ShipLogsRequest) {
    const resends = [];
    for (const { id, chunk } of request.chunks) {
      if (id === undefined || chunk === undefined) continue;
      const name = `${attemptKey(id)} ${chunk.stream}`;
      const kept = this.#logs.get(name) ?? { chunks: new Map(), end: 0 };
      this.#logs.set(name, kept);
      const offset = Number(chunk.offset);
      const end = offset + (Number(chunk.gapLength) || chunk.data.length);
      if (offset > kept.end) {
        resends.push({ id, stream: chunk.stream, fromOffset: BigInt(kept.end) });
      } else if (end > kept.end) {
        const part =
          chunk.gapLength > 0n
            ? { length: end - kept.end, reason: chunk.gapReason }
            : Buffer.from(chunk.data.subarray(kept.end - offset));
        kept.chunks.set(kept.end, part);
        kept.end = end;
      }
    }
    return resends;
  }
}

function phaseName(phase: AttemptPhase): string {
  const names: Record<number, string> = {
    [AttemptPhase.ACCEPTED]: 'accepted',
    [AttemptPhase.RUNNING]: 'running',
    [AttemptPhase.ENDED]: 'ended',
    [AttemptPhase.REJECTED]: 'rejected',
  };
  return names[phase] ?? 'unspecified';
}
