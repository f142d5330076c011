import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodBiDiStreaming,
  type DescMethodClientStreaming,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type DescService,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf';
import { type Client, type ClientDuplexStream, type Metadata, Metadata as MetadataClass } from '@grpc/grpc-js';
import { methodDefinition } from './service.ts';

/** What a single call may carry. */
export interface CallOptions {
  /** Ends the call with CANCELLED. */
  readonly signal?: AbortSignal;
  /** Milliseconds until DEADLINE_EXCEEDED. Default: none. */
  readonly timeoutMs?: number;
  readonly metadata?: Metadata;
}

/** The methods of a service as a client calls them: promises, async iterables, duplex streams. */
export type ServiceClient<S extends DescService> = {
  [K in keyof S['method']]: S['method'][K] extends DescMethodUnary<infer I, infer O>
    ? (request: MessageInitShape<I>, options?: CallOptions) => Promise<MessageShape<O>>
    : S['method'][K] extends DescMethodServerStreaming<infer I, infer O>
      ? (request: MessageInitShape<I>, options?: CallOptions) => AsyncIterable<MessageShape<O>>
      : S['method'][K] extends DescMethodBiDiStreaming<infer I, infer O>
        ? (options?: CallOptions) => ClientDuplexStream<MessageShape<I>, MessageShape<O>>
        : S['method'][K] extends DescMethodClientStreaming<DescMessage, DescMessage>
          ? never
          : never;
};

/** A typed client of one service over an existing grpc-js client (one connection carries many services). */
export function serviceClient<S extends DescService>(service: S, client: Client): ServiceClient<S> {
  const methods = service.methods.map((method) => [method.localName, bind(method, client)] as const);
  return Object.fromEntries(methods) as ServiceClient<S>;
}

function bind(method: DescMethod, client: Client) {
  const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
  switch (method.methodKind) {
    case 'unary':
      return (request: MessageInitShape<DescMessage>, options: CallOptions = {}) =>
        new Promise<MessageShape<DescMessage>>((resolve, reject) => {
          const { signal } = options;
          if (signal?.aborted === true) {
            reject(signal.reason as Error);
            return;
          }
          const abort = () => call.cancel();
          const call = client.makeUnaryRequest(
            path,
            requestSerialize,
            responseDeserialize,
            create(method.input, request),
            options.metadata ?? new MetadataClass(),
            callOptions(options),
            (error, response) => {
              signal?.removeEventListener('abort', abort);
              if (error !== null) reject(error);
              else if (response === undefined) reject(new Error(`${path} ended without a response`));
              else resolve(response);
            },
          );
          signal?.addEventListener('abort', abort, { once: true });
        });
    case 'server_streaming':
      return (request: MessageInitShape<DescMessage>, options: CallOptions = {}) => ({
        async *[Symbol.asyncIterator]() {
          options.signal?.throwIfAborted();
          const metadata = options.metadata ?? new MetadataClass();
          const call = client.makeServerStreamRequest(
            path,
            requestSerialize,
            responseDeserialize,
            create(method.input, request),
            metadata,
            callOptions(options),
          );
          const abort = () => call.cancel();
          options.signal?.addEventListener('abort', abort, { once: true });
          try {
            for await (const message of call) yield message as MessageShape<DescMessage>;
          } finally {
            options.signal?.removeEventListener('abort', abort);
            call.cancel();
          }
        },
      });
    case 'bidi_streaming':
      return (options: CallOptions = {}) => {
        const metadata = options.metadata ?? new MetadataClass();
        const call = client.makeBidiStreamRequest(
          path,
          requestSerialize,
          responseDeserialize,
          metadata,
          callOptions(options),
        );
        options.signal?.addEventListener('abort', () => call.cancel(), { once: true });
        return call;
      };
    case 'client_streaming':
      throw new Error(`${path}: no service of ours streams from the client only`);
  }
}

function callOptions(options: CallOptions) {
  return options.timeoutMs === undefined ? {} : { deadline: Date.now() + options.timeoutMs };
}
