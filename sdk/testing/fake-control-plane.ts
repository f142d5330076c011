import {
  create,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type DescService,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf';
import {
  AdminService,
  ComputeEnvironmentService,
  EventService,
  HistoryService,
  JobDefinitionService,
  JobQueueService,
  JobService,
  LogService,
  NodeService,
  SERVER_OPTIONS,
  type StatusParts,
  serviceDefinition,
  toServiceError,
} from '@galley/proto';
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';

// A real gRPC server on a real port that answers as a test tells it to. Only for unit tests of the client's side: what
// the control plane really does is tested end to end.

const SERVICES = [
  AdminService,
  ComputeEnvironmentService,
  EventService,
  HistoryService,
  JobDefinitionService,
  JobQueueService,
  JobService,
  LogService,
  NodeService,
];

/** What a handler may know of a call. */
export interface CallInfo {
  readonly authorization: string | undefined;
  /** Aborts when the client has gone. */
  readonly signal: AbortSignal;
}

/** Handlers of a service, by method; a stream is an async iterable. */
export type Handlers<S extends DescService> = {
  [K in keyof S['method']]?: S['method'][K] extends DescMethodUnary<infer I, infer O>
    ? (request: MessageShape<I>, call: CallInfo) => MessageInitShape<O> | Promise<MessageInitShape<O>>
    : S['method'][K] extends DescMethodServerStreaming<infer I, infer O>
      ? (request: MessageShape<I>, call: CallInfo) => AsyncIterable<MessageInitShape<O>>
      : never;
};

/** Thrown by a handler: the error that the client gets. */
export class Refusal extends Error {
  readonly parts: StatusParts;
  constructor(parts: StatusParts) {
    super(parts.message);
    this.parts = parts;
  }
}

export interface FakeControlPlane {
  readonly address: string;
  /** Adds handlers, over those of the same name. */
  on<S extends DescService>(service: S, handlers: Handlers<S>): void;
  /** Ends every connection at once, as a kill does. */
  stop(): Promise<void>;
  /** Listens on the same port again. */
  start(): Promise<void>;
}

type Handler = (request: unknown, call: CallInfo) => unknown;

/** The handlers outlive `stop` and `start`, as a control plane's state does. */
export async function startFakeControlPlane(): Promise<FakeControlPlane> {
  const handlers = new Map<string, Handler>();
  let port = 0;
  let server: Server | undefined;

  const start = async () => {
    server = new Server(SERVER_OPTIONS);
    for (const service of SERVICES) server.addService(serviceDefinition(service), implement(service, handlers));
    port = await listen(server, port);
  };
  await start();

  return {
    address: `127.0.0.1:${port}`,
    on: (service, given) => {
      for (const [name, handler] of Object.entries(given)) {
        handlers.set(`${service.typeName}/${name}`, handler as Handler);
      }
    },
    stop: async () => server?.forceShutdown(),
    start,
  };
}

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
}

type AnyCall = Pick<ServerUnaryCall<unknown, unknown>, 'metadata'> & {
  on(event: 'cancelled', listener: () => void): unknown;
};

function implement(service: DescService, handlers: ReadonlyMap<string, Handler>) {
  const entries = service.methods.map((method) => {
    const find = () => {
      const handler = handlers.get(`${service.typeName}/${method.localName}`);
      if (handler !== undefined) return handler;
      throw new Refusal({ code: status.UNIMPLEMENTED, message: `the test does not handle ${method.localName}` });
    };
    const unary = (call: ServerUnaryCall<unknown, unknown>, callback: sendUnaryData<unknown>) => {
      Promise.resolve()
        .then(() => find()(call.request, info(call)))
        .then(
          (answer) => callback(null, create(method.output, answer as Record<string, unknown>)),
          (error: unknown) => callback(toGrpcError(error)),
        );
    };
    const streaming = async (call: ServerWritableStream<unknown, unknown>) => {
      try {
        const answers = find()(call.request, info(call)) as AsyncIterable<Record<string, unknown>>;
        for await (const answer of answers) call.write(create(method.output, answer));
        call.end();
      } catch (error) {
        call.emit('error', toGrpcError(error));
      }
    };
    return [method.localName, method.methodKind === 'server_streaming' ? streaming : unary] as const;
  });
  return Object.fromEntries(entries);
}

function info(call: AnyCall): CallInfo {
  const controller = new AbortController();
  call.on('cancelled', () => controller.abort());
  return { authorization: call.metadata.get('authorization')[0]?.toString(), signal: controller.signal };
}

function toGrpcError(error: unknown) {
  if (error instanceof Refusal) return toServiceError(error.parts);
  return toServiceError({ code: status.INTERNAL, message: error instanceof Error ? error.message : String(error) });
}
