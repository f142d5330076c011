import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { RegisterJobDefinitionRequestSchema, type SubmitJobRequest, SubmitJobRequestSchema } from '@galley/proto';
import { NodeDirectory } from '../../agents/node-directory.ts';
import { type AttemptOutcome, type AttemptReport, EndCause, type PlaceOutput } from '../../core/types.ts';
import { SegmentLogStore } from '../../logs/segment-log-store.ts';
import type { CallContext } from '../../server/handler.ts';
import { MemoryDisk, openMemoryStore } from '../../store/memory-store.ts';
import { EventLog } from '../../turn/event-log.ts';
import { loadCore } from '../../turn/load.ts';
import { TurnLoop } from '../../turn/turn-loop.ts';
import { JobWatcher } from '../../turn/watch.ts';
import { DEFAULT_ACCOUNT } from '../accounts.ts';
import { definitionBody } from '../job-definition-service.ts';
import type { ApiParts } from '../parts.ts';

/** A control plane without listeners: the real core, loop, watches and log store, on a store in memory. */
export interface TestCluster extends ApiParts {
  readonly turns: TurnLoop;
  readonly logs: SegmentLogStore;
  readonly nodes: NodeDirectory;
  close(): Promise<void>;
}

/** With the default environment, queue and definition. `sync`: what a commit waits for, for tests of its failure. */
export async function startCluster(sync: () => Promise<void> = async () => {}): Promise<TestCluster> {
  const disk = new MemoryDisk({ clusterId: randomUUID() });
  const turns = await TurnLoop.start({
    open: async () => {
      const store = await openMemoryStore(disk, { sync });
      return { store, core: await loadCore(store, { wallMs: Date.now() }) };
    },
  });
  const account = DEFAULT_ACCOUNT;
  const settings = { enabled: true, tags: {} };
  await turns.apply({
    kind: 'createEnvironment',
    account,
    name: 'default',
    settings: { ...settings, placement: 'pack' },
  });
  await turns.apply({
    kind: 'createQueue',
    account,
    name: 'default',
    settings: { ...settings, priority: 1, environments: ['default'] },
  });
  const body = definitionBody(create(RegisterJobDefinitionRequestSchema, { name: 'default' }));
  await turns.apply({ kind: 'registerDefinition', account, name: 'default', body });
  const directory = await mkdtemp(join(tmpdir(), 'galley-api-'));
  const logs = await SegmentLogStore.open({ directory, freeFloorBytes: 0 });
  return {
    turns,
    logs,
    watcher: new JobWatcher(turns),
    events: new EventLog(turns),
    nodes: new NodeDirectory(),
    close: async () => {
      await turns.close();
      await logs.close();
      await rm(directory, { recursive: true });
    },
  };
}

export function call(signal: AbortSignal = new AbortController().signal): CallContext {
  return { principal: 'ann', role: 'admin', signal, deadlineMs: undefined, peer: 'test' };
}

type JobInit = Omit<Extract<MessageInitShape<typeof SubmitJobRequestSchema>, { $typeName?: never }>, '$typeName'>;

/** A request that runs `true`, changed as given. */
export function jobRequest(init: JobInit = {}): SubmitJobRequest {
  return create(SubmitJobRequestSchema, { jobId: randomUUID(), jobName: 'job', task: { command: ['true'] }, ...init });
}

const EXITED: AttemptOutcome = {
  cause: EndCause.exited,
  exitCode: 0,
  signal: undefined,
  reason: '',
  peakMemoryBytes: 1_000_000,
  cpuTimeUs: 500_000,
  imageDigest: '',
  logLengths: [0, 0, 0],
};

/** A node as the core sees it: what an agent would report, said by the test. */
export class TestNode {
  readonly #turns: TurnLoop;
  readonly #name: string;
  readonly #placed: PlaceOutput[] = [];
  #arrival: (() => void) | undefined;
  #sequence = 0;

  private constructor(turns: TurnLoop, name: string) {
    this.#turns = turns;
    this.#name = name;
    turns.listen({
      released: (outputs) => {
        for (const output of outputs) {
          if (output.kind === 'place' && output.node === name) this.#placed.push(output);
        }
        this.#arrival?.();
      },
    });
  }

  static async connect({ turns }: TestCluster, name = 'node-1'): Promise<TestNode> {
    const node = new TestNode(turns, name);
    await turns.apply({
      kind: 'nodeConnected',
      account: DEFAULT_ACCOUNT,
      node: name,
      environment: 'default',
      session: 1,
      incarnation: randomUUID(),
      bootId: randomUUID(),
      offer: {
        milliVcpu: 64_000,
        memoryBytes: 64 * 2 ** 30,
        named: [],
        features: ['fenced', 'separate-streams'],
        takesJobs: true,
      },
      credit: 1_000,
      watermark: 0,
      witness: { epoch: 1, sequence: 0 },
      completeHistory: true,
      historyContinues: false,
      attempts: [],
    });
    return node;
  }

  /** The next attempt that the core places here. */
  async placed(): Promise<PlaceOutput> {
    for (;;) {
      const next = this.#placed.shift();
      if (next !== undefined) return next;
      await new Promise<void>((resolve) => {
        this.#arrival = resolve;
      });
    }
  }

  async running(place: PlaceOutput): Promise<void> {
    await this.#report(place, { phase: 'running' });
  }

  async ended(place: PlaceOutput, outcome: Partial<AttemptOutcome> = {}): Promise<void> {
    await this.#report(place, { phase: 'ended', outcome: { ...EXITED, ...outcome }, resourcesReleased: true });
  }

  async disconnect(): Promise<void> {
    await this.#turns.apply({ kind: 'nodeDisconnected', account: DEFAULT_ACCOUNT, node: this.#name, session: 1 });
  }

  async #report(place: PlaceOutput, report: Partial<AttemptReport>): Promise<void> {
    await this.#turns.apply({
      kind: 'nodeReports',
      account: DEFAULT_ACCOUNT,
      node: this.#name,
      session: 1,
      sequence: ++this.#sequence,
      historyEnded: false,
      reports: [
        {
          jobId: place.jobId,
          childIndex: place.childIndex,
          attempt: place.attempt,
          phase: 'accepted',
          startDelayMs: 1,
          runDurationMs: 2_000,
          ageMs: 0,
          outcome: undefined,
          rejection: undefined,
          placementSequence: place.sequence,
          jobName: '',
          jobNumber: place.number,
          resourcesReleased: false,
          ...report,
        },
      ],
    });
  }
}
