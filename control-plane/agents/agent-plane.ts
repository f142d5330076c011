import type { MessageInitShape } from '@bufbuild/protobuf';
import type { AgentHello, AgentService, ConnectRequest, ConnectResponseSchema, StorePosition } from '@galley/proto';
import { status } from '@grpc/grpc-js';
import type { AttemptKey, Output, PlaceOutput, Refusal, StopOutput } from '../core/types.ts';
import type { DefinitionView } from '../core/view.ts';
import type { LogStore } from '../logs/log-store.ts';
import type { CallContext, Handlers } from '../server/handler.ts';
import { type Clock, systemClock } from '../turn/clock.ts';
import type { TurnLoop } from '../turn/turn-loop.ts';
import { AgentSession, positionOf, type SessionHost, supersededError, toAgentPlaneError } from './agent-session.ts';
import { AgentPlaneError } from './errors.ts';
import { checkHello, commonProtocol, needsHistory, toNodeConnected } from './hello.ts';
import { LogEnds } from './log-ends.ts';
import { shipLogs } from './log-intake.ts';
import { NodeDirectory } from './node-directory.ts';
import { Placer, type ResolvePlacement } from './placer.ts';
import { ALIVE_MS, HEARTBEAT_INTERVAL_MS, HELLO_TIMEOUT_MS, LEASE_MS } from './protocol.ts';
import { SpecReader } from './spec-reader.ts';

type Response = MessageInitShape<typeof ConnectResponseSchema>;

export interface AgentPlaneOptions {
  readonly clusterId: string;
  readonly turns: TurnLoop;
  readonly logs: LogStore;
  /** How a spec becomes what runs. */
  readonly resolve: ResolvePlacement;
  /** Default: the system's. */
  readonly clock?: Clock;
  readonly onWarning?: (message: string, error?: unknown) => void;
  /** Default `HELLO_TIMEOUT_MS`. */
  readonly helloTimeoutMs?: number;
}

/** The agents that are connected, and the handlers that connect them. */
export class AgentPlane {
  /** What nodes told of themselves, for whoever shows nodes. */
  readonly directory = new NodeDirectory();
  readonly handlers: Handlers<typeof AgentService>;

  readonly #options: AgentPlaneOptions;
  readonly #clock: Clock;
  readonly #host: SessionHost;
  readonly #byNode = new Map<string, AgentSession>();
  readonly #byId = new Map<number, AgentSession>();
  readonly #stopListening: () => void;
  readonly #logEnds: LogEnds;
  #lastSession = 0;
  #closed = false;

  constructor(options: AgentPlaneOptions) {
    const { turns, logs } = options;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    const onWarning = options.onWarning ?? (() => undefined);
    const specs = new SpecReader(() => turns.store);
    const definition = (account: string, id: string) => definitionOf(turns, account, id);
    this.#logEnds = new LogEnds(logs, onWarning);
    this.#host = {
      turns,
      placer: new Placer({ specs, resolve: options.resolve, definition }),
      directory: this.directory,
      logEnds: this.#logEnds,
      wallMs: () => this.#clock.wallMs(),
      onWarning,
    };
    this.handlers = {
      connect: (requests, context) => this.#connect(requests, context),
      shipLogs: (requests, { signal }) => shipLogs(requests, logs, signal),
    };
    this.#stopListening = turns.listen({
      submitted(jobs, replies) {
        for (const [index, reply] of replies.entries()) {
          const spec = jobs[index]?.spec;
          if (reply.ok && !reply.existed && spec !== undefined) specs.remember(reply.number, spec);
        }
      },
      released: (outputs) => this.#route(outputs),
      lost: () => {
        specs.clear();
        this.#endAll('the control plane is loading its state again');
      },
    });
  }

  /** Connected agents. */
  get connected(): number {
    return this.#byNode.size;
  }

  /** Ends every session with UNAVAILABLE: agents connect again, jobs go on. */
  close(): void {
    this.#closed = true;
    this.#stopListening();
    this.#endAll('the control plane is stopping');
    this.#logEnds.close();
  }

  #endAll(why: string): void {
    for (const session of [...this.#byId.values()]) {
      session.end(new AgentPlaneError(status.UNAVAILABLE, `${why}; connect again`));
    }
  }

  async *#connect(requests: AsyncIterable<ConnectRequest>, { signal }: CallContext): AsyncGenerator<Response> {
    const iterator: AsyncIterator<ConnectRequest, unknown> = requests[Symbol.asyncIterator]();
    const hello = await this.#hello(iterator);
    const { turns, clusterId } = this.#options;
    checkHello(hello, clusterId);
    if (needsHistory(hello, turns.store.position)) {
      yield this.#askForHistory(hello);
      return;
    }
    const session = this.#admit(hello);
    const leave = () => session.end();
    signal.addEventListener('abort', leave, { once: true });
    try {
      const reply = await turns.apply(toNodeConnected(hello, session.id));
      if (!reply.ok) {
        if (reply.field !== 'complete_history') throw refusalError(reply);
        yield this.#askForHistory(hello);
        return;
      }
      yield this.#controlHello(hello, { believed: reply.believed.map(toAttemptId) });
      if (reply.release.length > 0) {
        yield { message: { case: 'releases', value: { ids: reply.release.map(toAttemptId) } } };
      }
      void session.receive(iterator);
      yield* session.responses;
    } catch (error) {
      throw toAgentPlaneError(error);
    } finally {
      signal.removeEventListener('abort', leave);
      this.#leave(session);
    }
  }

  async #hello(requests: AsyncIterator<ConnectRequest, unknown>): Promise<AgentHello> {
    const timeoutMs = this.#options.helloTimeoutMs ?? HELLO_TIMEOUT_MS;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(
        () => reject(new AgentPlaneError(status.DEADLINE_EXCEEDED, `no hello within ${timeoutMs} ms`)),
        timeoutMs,
      );
    });
    try {
      const first = await Promise.race([requests.next(), late]);
      if (first.done === true) throw new AgentPlaneError(status.CANCELLED, 'the stream ended before its hello');
      const { message } = first.value;
      if (message.case === 'hello') return message.value;
      throw new AgentPlaneError(status.INVALID_ARGUMENT, 'the first message of a stream is the hello');
    } finally {
      clearTimeout(timer);
    }
  }

  /** Makes room for a session, or turns it away. */
  #admit(hello: AgentHello): AgentSession {
    if (this.#closed) throw new AgentPlaneError(status.UNAVAILABLE, 'the control plane is stopping; connect again');
    const session = new AgentSession(++this.#lastSession, hello, this.#host);
    const name = nodeKey(session);
    const present = this.#byNode.get(name);
    if (present !== undefined && present.incarnation !== session.incarnation) {
      const silentMs = this.#clock.wallMs() - present.lastHeardMs;
      if (silentMs < ALIVE_MS) {
        throw new AgentPlaneError(
          status.ALREADY_EXISTS,
          `another agent is connected as node ${session.node}, from another state directory, and was heard from ` +
            `${Math.max(0, Math.round(silentMs / 1000))} s ago; give this one a name of its own, or stop the other`,
        );
      }
    }
    present?.end(supersededError());
    this.#byNode.set(name, session);
    this.#byId.set(session.id, session);
    return session;
  }

  #leave(session: AgentSession): void {
    this.#byId.delete(session.id);
    const name = nodeKey(session);
    if (this.#byNode.get(name) === session) this.#byNode.delete(name);
    const { account, node, id } = session;
    // While the state is loaded again nobody is connected to it anyway.
    this.#options.turns.apply({ kind: 'nodeDisconnected', account, node, session: id }).catch(() => undefined);
  }

  #route(outputs: readonly Output[]): void {
    const bySession = new Map<number, { places: PlaceOutput[]; stops: StopOutput[] }>();
    const of = (session: number) => {
      let group = bySession.get(session);
      if (group === undefined) bySession.set(session, (group = { places: [], stops: [] }));
      return group;
    };
    let resync = false;
    for (const output of outputs) {
      if (output.kind === 'place') of(output.session).places.push(output);
      else if (output.kind === 'stop') of(output.session).stops.push(output);
      else if (output.kind === 'resync') resync = true;
    }
    for (const [id, { places, stops }] of bySession) this.#byId.get(id)?.send(places, stops);
    if (resync) this.#endAll("the epoch of the control plane's state rose");
  }

  #askForHistory(hello: AgentHello): Response {
    return this.#controlHello(hello, { sendCompleteHistory: true });
  }

  #controlHello(
    hello: AgentHello,
    parts: { believed?: ReturnType<typeof toAttemptId>[]; sendCompleteHistory?: boolean },
  ): Response {
    const position: Omit<StorePosition, '$typeName'> = positionOf(this.#options.turns);
    return {
      message: {
        case: 'hello',
        value: {
          clusterId: this.#options.clusterId,
          position,
          protocol: commonProtocol(hello),
          heartbeatIntervalMs: HEARTBEAT_INTERVAL_MS,
          leaseMs: LEASE_MS,
          ...parts,
        },
      },
    };
  }
}

function nodeKey({ account, node }: AgentSession): string {
  return `${account}/${node}`;
}

function toAttemptId({ jobId, childIndex, attempt }: AttemptKey) {
  return { jobId, childIndex, attempt };
}

/** A pinned definition, `name:revision`. */
function definitionOf({ view }: TurnLoop, account: string, id: string): DefinitionView | undefined {
  const colon = id.lastIndexOf(':');
  return view.definition(account, id.slice(0, colon), Number(id.slice(colon + 1)));
}

function refusalError({ code, message }: Refusal): AgentPlaneError {
  switch (code) {
    case 'invalid':
      return new AgentPlaneError(status.INVALID_ARGUMENT, message);
    case 'notFound':
      return new AgentPlaneError(status.NOT_FOUND, message);
    case 'alreadyExists':
      return new AgentPlaneError(status.ALREADY_EXISTS, message);
    case 'failedPrecondition':
      return new AgentPlaneError(status.FAILED_PRECONDITION, message);
    case 'exhausted':
      return new AgentPlaneError(status.RESOURCE_EXHAUSTED, message);
    case 'aborted':
    case 'staleFacts':
      return new AgentPlaneError(status.ABORTED, message);
  }
}
