import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import {
  type AgentHelloSchema,
  AgentService,
  CLIENT_CHANNEL_OPTIONS,
  type ConnectRequest,
  ConnectRequestSchema,
  type ConnectResponse,
  fromServiceError,
  InventorySchema,
  JobDefinitionSchema,
  LimitState,
  type ShipLogsRequest,
  type ShipLogsResponse,
  type StatusParts,
  SubmitJobRequestSchema,
  serviceClient,
} from '@galley/proto';
import { Client, type ClientDuplexStream, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { pino } from 'pino';
import { formatJobId } from '../../core/ids.ts';
import type { NewJob } from '../../core/types.ts';
import { SegmentLogStore } from '../../logs/segment-log-store.ts';
import { TokenAuthenticator } from '../../security/authenticator.ts';
import { GrpcServer } from '../../server/grpc-server.ts';
import { placementResolver } from '../../server/placements.ts';
import { type Faults, FaultyDisk, openFaultyStore } from '../../store/faulty-store.ts';
import { loadCore } from '../../turn/load.ts';
import { TurnLoop } from '../../turn/turn-loop.ts';
import { AgentPlane } from '../agent-plane.ts';

const TOKEN = 'a-token-for-tests-only';
export const CLUSTER = 'the-cluster';

/** The agent plane with a real core, a real listener and a store that fails when told to. */
export class TestPlane {
  readonly turns: TurnLoop;
  readonly plane: AgentPlane;
  readonly logs: SegmentLogStore;
  readonly #grpc: GrpcServer;
  readonly #directory: string;
  readonly #agents: TestAgent[] = [];
  #address = '';

  static async start(options: { faults?: Faults; helloTimeoutMs?: number } = {}): Promise<TestPlane> {
    const disk = new FaultyDisk({ clusterId: CLUSTER, faults: options.faults ?? {} });
    const turns = await TurnLoop.start({
      idleTickMs: 20,
      open: async () => {
        const store = await openFaultyStore(disk);
        return { store, core: await loadCore(store, { wallMs: Date.now() }) };
      },
    });
    const directory = await mkdtemp(join(tmpdir(), 'galley-agents-'));
    const logs = await SegmentLogStore.open({ directory, freeFloorBytes: 0 });
    const test = new TestPlane(turns, logs, directory, options.helloTimeoutMs);
    await test.#begin();
    return test;
  }

  private constructor(turns: TurnLoop, logs: SegmentLogStore, directory: string, helloTimeoutMs: number | undefined) {
    this.turns = turns;
    this.logs = logs;
    this.#directory = directory;
    const timeout = helloTimeoutMs === undefined ? {} : { helloTimeoutMs };
    this.plane = new AgentPlane({ clusterId: CLUSTER, turns, logs, resolve: placementResolver(), ...timeout });
    const log = pino({ level: 'silent' });
    this.#grpc = new GrpcServer({ authenticator: new TokenAuthenticator(TOKEN), log });
    this.#grpc.register(AgentService, this.plane.handlers);
  }

  async #begin(): Promise<void> {
    this.#address = await this.#grpc.listen('127.0.0.1', 0);
    const account = 'default';
    await this.turns.apply({
      kind: 'createEnvironment',
      account,
      name: 'default',
      settings: { enabled: true, placement: 'pack', tags: {} },
    });
    await this.turns.apply({
      kind: 'createQueue',
      account,
      name: 'default',
      settings: { priority: 1, enabled: true, environments: ['default'], tags: {} },
    });
    const body = toBinary(JobDefinitionSchema, create(JobDefinitionSchema));
    await this.turns.apply({ kind: 'registerDefinition', account, name: 'default', body });
  }

  /** An agent that is connected and has said nothing yet. */
  dial(): TestAgent {
    const agent = new TestAgent(this.#address);
    this.#agents.push(agent);
    return agent;
  }

  /** An agent that has been answered. */
  async join(hello: Hello = {}): Promise<TestAgent> {
    const agent = this.dial();
    agent.hello(hello);
    await agent.next('hello');
    return agent;
  }

  /** Submits one small job and returns its id and number. */
  async submit(jobName = 'job', parts: Partial<NewJob> = {}): Promise<{ id: Uint8Array; number: number }> {
    const id = crypto.getRandomValues(new Uint8Array(16));
    const request = create(SubmitJobRequestSchema, {
      jobId: formatJobId(id),
      jobName,
      task: { command: ['echo', jobName] },
    });
    const job: NewJob = {
      id,
      account: 'default',
      queue: 'default',
      definition: 'default:1',
      user: 'ada',
      name: jobName,
      requirements: { milliVcpu: 1000, memoryBytes: 1024 * 1024, named: [], features: [] },
      retry: { attempts: 1, rules: [] },
      onNodeLost: 1,
      priority: 0,
      hold: false,
      dependsOn: [],
      spec: toBinary(SubmitJobRequestSchema, request),
      digest: new Uint8Array(16),
      ended: undefined,
      ...parts,
    };
    const factsTurn = this.turns.view.turn;
    const [reply] = await this.turns.apply({
      kind: 'submitJobs',
      mode: 'each',
      jobs: [job],
      submittedBy: 'admin',
      factsTurn,
    });
    if (reply?.ok !== true) throw new Error(reply?.message ?? 'no reply');
    return { id, number: reply.number };
  }

  async close(): Promise<void> {
    for (const agent of this.#agents) agent.close();
    this.plane.close();
    await this.#grpc.close(500);
    await this.turns.close();
    await this.logs.close();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

export type Hello = MessageInitShape<typeof AgentHelloSchema>;
type Received = Exclude<ConnectResponse['message'], { case: undefined }>;

type MessageOf<K extends Received['case']> = Extract<Received, { readonly case: K }>['value'];

/** An agent's side of the wire, and nothing behind it. */
export class TestAgent {
  readonly incarnation: string = crypto.randomUUID();
  /** How the stream ended: the code 0 when it ended well. */
  readonly ended: Promise<StatusParts>;
  readonly #client: Client;
  readonly #metadata = new Metadata();
  readonly #stream: ClientDuplexStream<ConnectRequest, ConnectResponse>;
  readonly #received: Received[] = [];
  #arrived = Promise.withResolvers<void>();

  constructor(address: string) {
    this.#client = new Client(address, credentials.createInsecure(), {
      ...CLIENT_CHANNEL_OPTIONS,
      'grpc.use_local_subchannel_pool': 1,
    });
    this.#metadata.set('authorization', `Bearer ${TOKEN}`);
    this.#stream = serviceClient(AgentService, this.#client).connect({ metadata: this.#metadata });
    const { promise, resolve } = Promise.withResolvers<StatusParts>();
    this.ended = promise;
    this.#stream.on('data', ({ message }: ConnectResponse) => {
      if (message.case !== undefined) this.#received.push(message);
      this.#arrived.resolve();
      this.#arrived = Promise.withResolvers();
    });
    this.#stream.on('error', (error: ServiceError) => resolve(fromServiceError(error)));
    this.#stream.on('end', () => resolve({ code: 0, message: '' }));
  }

  hello(parts: Hello = {}): void {
    const enforced = ['cpu', 'memory', 'pids'].map((resource) => ({ resource, state: LimitState.ENFORCED }));
    this.send({
      case: 'hello',
      value: {
        nodeName: 'n1',
        incarnation: this.incarnation,
        protocolMin: 1,
        protocolMax: 1,
        placementCredit: 100,
        inventory: create(InventorySchema, {
          allocatable: { milliVcpu: 8000n, memoryBytes: 1n << 33n },
          limits: enforced,
        }),
        agentTimeMs: BigInt(Date.now()),
        ...parts,
      },
    });
  }

  send(message: MessageInitShape<typeof ConnectRequestSchema>['message'] & object): void {
    this.#stream.write(create(ConnectRequestSchema, { message }));
  }

  endStream(): void {
    this.#stream.end();
  }

  /** The next message of this kind; those before it are dropped. */
  async next<K extends Received['case']>(kind: K): Promise<MessageOf<K>> {
    for (;;) {
      const message = this.#received.shift();
      if (message === undefined) await this.#arrived.promise;
      else if (message.case === kind) return message.value as MessageOf<K>;
    }
  }

  /** Every message that is there by now. */
  take(): Received[] {
    return this.#received.splice(0);
  }

  shipLogs(): ClientDuplexStream<ShipLogsRequest, ShipLogsResponse> {
    return serviceClient(AgentService, this.#client).shipLogs({ metadata: this.#metadata });
  }

  close(): void {
    this.#stream.on('error', () => undefined);
    this.#stream.cancel();
    this.#client.close();
  }
}
