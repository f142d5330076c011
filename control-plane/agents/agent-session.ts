import type { MessageInitShape } from '@bufbuild/protobuf';
import type {
  AgentHello,
  AttemptReports,
  ConnectRequest,
  ConnectResponseSchema,
  Heartbeat,
  InventoryUpdate,
} from '@galley/proto';
import { status } from '@grpc/grpc-js';
import { type AttemptReport, EndCause, type PlaceOutput, type StopOutput } from '../core/types.ts';
import type { Turns } from '../turn/turns.ts';
import { TurnError } from '../turn/turns.ts';
import { AgentPlaneError } from './errors.ts';
import { nodeOf, toOffer } from './hello.ts';
import type { LogEnds } from './log-ends.ts';
import type { NodeDirectory } from './node-directory.ts';
import { Outbox } from './outbox.ts';
import type { FailedPlacement, Placer } from './placer.ts';
import { MAX_OUTBOX_BYTES, MAX_OUTBOX_MESSAGES, MAX_UNANSWERED, PLACEMENTS_COUNT } from './protocol.ts';
import { toReport } from './reports.ts';

type Response = MessageInitShape<typeof ConnectResponseSchema>;

/** What a session needs of the control plane. */
export interface SessionHost {
  readonly turns: Turns;
  readonly placer: Placer;
  readonly directory: NodeDirectory;
  readonly logEnds: LogEnds;
  readonly wallMs: () => number;
  readonly onWarning: (message: string, error: unknown) => void;
}

/**
 * One connection of one agent, from its accepted hello to its end. It is
 * - *open*: what the agent sends becomes inputs, and each is answered once its turn is durable; what the core puts out for
 *   this session is sent in order. Ends when the agent says goodbye or ends its stream, and with an error by `end`;
 * - *over*: whatever still arrives is dropped. The agent connects again and both sides compare what they hold.
 */
export class AgentSession {
  readonly id: number;
  readonly account: string;
  readonly node: string;
  readonly incarnation: string;
  lastHeardMs: number;

  readonly #host: SessionHost;
  readonly #features: readonly string[];
  readonly #outbox = new Outbox<Response>({ maxItems: MAX_OUTBOX_MESSAGES, maxBytes: MAX_OUTBOX_BYTES });
  /** What the core puts out is made into messages one batch after the other, so that their order stays. */
  #sending: Promise<void> = Promise.resolve();
  #unanswered = 0;
  #answered: (() => void) | undefined;

  constructor(id: number, hello: AgentHello, host: SessionHost) {
    this.id = id;
    const { account, node } = nodeOf(hello);
    this.account = account;
    this.node = node;
    this.incarnation = hello.incarnation;
    this.#features = hello.features;
    this.#host = host;
    this.lastHeardMs = host.wallMs();
    this.#noteFacts(hello.agentTimeMs, hello.inventory === undefined ? {} : { inventory: hello.inventory });
  }

  /** What is to be sent, until the session is over. */
  get responses(): AsyncIterable<Response> {
    return this.#outbox;
  }

  /** Ends the session; with an error, the agent is told. */
  end(error?: AgentPlaneError): void {
    if (error === undefined) this.#outbox.end();
    else this.#outbox.fail(error);
  }

  /** Takes what the agent sends until it ends. Never rejects: what goes wrong ends the session. */
  async receive(requests: AsyncIterator<ConnectRequest, unknown>): Promise<void> {
    try {
      for (;;) {
        const next = await requests.next();
        if (next.done === true) break;
        this.lastHeardMs = this.#host.wallMs();
        if (!this.#handle(next.value.message)) break;
        if (this.#unanswered >= MAX_UNANSWERED) await this.#someAnswer();
      }
      this.end();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Sends what the core put out for this session in one turn. */
  send(places: readonly PlaceOutput[], stops: readonly StopOutput[]): void {
    this.#sending = this.#sending.then(() => this.#send(places, stops)).catch((error: unknown) => this.#fail(error));
  }

  async #send(places: readonly PlaceOutput[], stops: readonly StopOutput[]): Promise<void> {
    const { placer, turns } = this.#host;
    for (let at = 0; at < places.length; at += PLACEMENTS_COUNT) {
      const { batches, failed } = await placer.prepare(places.slice(at, at + PLACEMENTS_COUNT));
      for (const { placements, bytes } of batches) {
        await this.#outbox.room();
        this.#push({ case: 'placements', value: { placements, position: positionOf(turns) } }, bytes);
      }
      if (failed.length > 0) await this.#endFailed(failed);
    }
    if (stops.length > 0) {
      const value = stops.map(({ jobId, childIndex, attempt, reason, graceSeconds }) => ({
        id: { jobId, childIndex, attempt },
        reason,
        ...(graceSeconds === undefined ? {} : { graceSeconds }),
      }));
      this.#push({ case: 'stops', value: { stops: value } });
    }
  }

  /** A job that cannot be sent ends, with the reason: it would wait for its node forever. */
  async #endFailed(failed: readonly FailedPlacement[]): Promise<void> {
    const reports = failed.map(({ output, reason }) => launchFailed(output, reason));
    for (const { output, reason } of failed) {
      this.#host.onWarning(`job ${output.number} cannot be sent to node ${output.node}`, reason);
    }
    const { account, node, id: session } = this;
    await this.#host.turns.apply({
      kind: 'nodeReports',
      account,
      node,
      session,
      sequence: 0,
      historyEnded: false,
      reports,
    });
  }

  /** False: the agent takes its leave. */
  #handle(message: ConnectRequest['message']): boolean {
    switch (message.case) {
      case 'heartbeat':
        this.#heartbeat(message.value);
        return true;
      case 'reports':
        this.#reports(message.value);
        return true;
      case 'inventory':
        this.#inventory(message.value);
        return true;
      case 'goodbye':
        return false;
      case 'hello':
        throw new AgentPlaneError(status.INVALID_ARGUMENT, 'a hello is the first message of a stream, not a later one');
      case undefined:
        // A newer agent may say what we do not know; it does not rely on it.
        return true;
    }
  }

  #heartbeat({ sequence, usage, agentTimeMs }: Heartbeat): void {
    this.#noteFacts(agentTimeMs, usage === undefined ? {} : { usage });
    const { turns } = this.#host;
    // Without a figure, all that the node offers counts as free.
    const memoryAvailableBytes = usage === undefined ? Number.MAX_SAFE_INTEGER : Number(usage.memoryAvailableBytes);
    const { account, node, id: session } = this;
    this.#answer(turns.apply({ kind: 'nodeHeartbeat', account, node, session, memoryAvailableBytes }), () =>
      this.#push({ case: 'heartbeatAck', value: { sequence, position: positionOf(turns) } }),
    );
  }

  #reports(message: AttemptReports): void {
    const reports = message.reports.map(toReport);
    const sequence = message.reports.at(-1)?.sequence ?? 0n;
    const { turns, logEnds } = this.#host;
    const { account, node, id: session } = this;
    const ends = reports.filter(({ phase }) => phase === 'ended').map((report) => this.#logEnd(report));
    this.#answer(
      turns.apply({
        kind: 'nodeReports',
        account,
        node,
        session,
        sequence: Number(sequence),
        historyEnded: message.historyEnded,
        reports,
      }),
      () => {
        this.#push({ case: 'reportsAck', value: { sequence } });
        for (const { ref, lengths } of ends) if (ref.jobNumber > 0) logEnds.add(ref, lengths);
      },
    );
  }

  #logEnd({ jobId, childIndex, jobNumber, attempt, outcome }: AttemptReport) {
    const number = jobNumber > 0 ? jobNumber : (this.#host.turns.view.job(jobId)?.number ?? 0);
    return { ref: { jobNumber: number, childIndex, attempt }, lengths: outcome?.logLengths ?? [] };
  }

  #inventory({ inventory }: InventoryUpdate): void {
    if (inventory === undefined) return;
    this.#host.directory.update(this.account, this.node, { inventory });
    const offer = toOffer(inventory, this.#features);
    const { account, node, id: session } = this;
    this.#answer(this.#host.turns.apply({ kind: 'nodeOffer', account, node, session, offer }), () => undefined);
  }

  /** Waits for a durable reply without holding up what follows. A false one says that another session has taken over. */
  #answer(reply: Promise<boolean>, taken: () => void): void {
    this.#unanswered++;
    reply
      .then((current) => {
        if (current) taken();
        else this.end(supersededError());
      })
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        this.#unanswered--;
        this.#answered?.();
      });
  }

  #someAnswer(): Promise<void> {
    return new Promise((resolve) => {
      this.#answered = resolve;
    });
  }

  #push(message: Response['message'] & {}, bytes = 0): void {
    if (this.#outbox.push({ message }, bytes)) return;
    this.end(
      new AgentPlaneError(
        status.RESOURCE_EXHAUSTED,
        `the agent does not read what it is sent: ${MAX_OUTBOX_MESSAGES} messages or ${MAX_OUTBOX_BYTES} bytes wait. Connect again`,
      ),
    );
  }

  #fail(error: unknown): void {
    const wasOpen = this.#outbox.fail(toAgentPlaneError(error));
    if (!wasOpen || error instanceof AgentPlaneError || error instanceof TurnError) return;
    this.#host.onWarning(`the session of node ${this.node} broke`, error);
  }

  #noteFacts(agentTimeMs: bigint, facts: Parameters<NodeDirectory['update']>[2]): void {
    const clockOffsetMs = agentTimeMs > 0n ? Number(agentTimeMs) - this.#host.wallMs() : 0;
    this.#host.directory.update(this.account, this.node, { ...facts, clockOffsetMs });
  }
}

/** The position that an agent is shown: durable, and so a witness of what the store must have. */
export function positionOf({ store }: Turns): { epoch: bigint; sequence: bigint } {
  const { epoch, sequence } = store.position;
  return { epoch: BigInt(epoch), sequence: BigInt(sequence) };
}

export function supersededError(): AgentPlaneError {
  return new AgentPlaneError(status.ABORTED, 'a newer connection of this agent has taken over');
}

export function toAgentPlaneError(error: unknown): AgentPlaneError {
  if (error instanceof AgentPlaneError) return error;
  if (error instanceof TurnError) return new AgentPlaneError(status.UNAVAILABLE, error.message, { cause: error });
  return new AgentPlaneError(status.UNAVAILABLE, 'the session broke; connect again', { cause: error });
}

function launchFailed({ jobId, childIndex, attempt, sequence, number }: PlaceOutput, reason: string): AttemptReport {
  return {
    jobId,
    childIndex,
    attempt,
    phase: 'ended',
    startDelayMs: 0,
    runDurationMs: 0,
    ageMs: 0,
    outcome: {
      cause: EndCause.launchFailed,
      exitCode: undefined,
      signal: undefined,
      reason: reason.slice(0, 255),
      peakMemoryBytes: undefined,
      cpuTimeUs: undefined,
      logLengths: [],
      imageDigest: '',
    },
    rejection: undefined,
    placementSequence: sequence,
    jobName: '',
    jobNumber: number,
    resourcesReleased: true,
  };
}
