import { once } from 'node:events';
import {
  create,
  type DescMessage,
  type DescMethod,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf';
import { methodPath, type StatusParts, toServiceError } from '@galley/proto';
import type {
  handleBidiStreamingCall,
  handleServerStreamingCall,
  handleUnaryCall,
  Metadata,
  ServerDuplexStream,
  ServerWritableStream,
  UntypedHandleCall,
} from '@grpc/grpc-js';
import type { Logger } from 'pino';
import type { Authenticator, Identity } from '../security/authenticator.ts';
import { CallScope } from './call-scope.ts';
import { serviceError } from './error-status.ts';
import type { BidiHandler, EncodedUnaryHandler, ServerStreamHandler, UnaryHandler } from './handler.ts';
import { UNAUTHENTICATED } from './refusals.ts';
import { invalidRequest } from './validation.ts';

type AnyMessage = MessageShape<DescMessage>;
type AnyInit = MessageInitShape<DescMessage>;
type OutStream = ServerWritableStream<AnyMessage, AnyMessage> | ServerDuplexStream<AnyMessage, AnyMessage>;

/** What the adapters need of the server. */
export interface CallHost {
  readonly authenticator: Authenticator;
  readonly log: Logger;
  /** Streams that are open, to be ended when the server stops. */
  readonly streams: Set<CallScope>;
}

/** A method's handler as grpc-js calls it: authenticated, validated, with its errors mapped. */
export function adapt(method: DescMethod, handler: unknown, host: CallHost): UntypedHandleCall {
  switch (method.methodKind) {
    case 'unary':
      return unary(method, handler as UnaryHandler<DescMessage, DescMessage>, host);
    case 'server_streaming':
      return serverStream(method, handler as ServerStreamHandler<DescMessage, DescMessage>, host);
    case 'bidi_streaming':
      return bidi(method, handler as BidiHandler<DescMessage, DescMessage>, host);
    case 'client_streaming':
      throw new Error(`${methodPath(method)}: no service of ours streams from the client only`);
  }
}

function unary(
  method: DescMethod,
  handler: UnaryHandler<DescMessage, DescMessage>,
  host: CallHost,
): handleUnaryCall<AnyMessage, AnyMessage> {
  const path = methodPath(method);
  return (call, callback) => {
    const identity = identify(call.metadata, host);
    const refusal = identity === undefined ? UNAUTHENTICATED : invalidRequest(method.input, call.request);
    if (identity === undefined || refusal !== undefined) {
      callback(toServiceError(refusal ?? UNAUTHENTICATED));
      return;
    }
    answer(handler, call.request, new CallScope(call, identity)).then(
      (response) => callback(null, create(method.output, response)),
      (error: unknown) => callback(serviceError(error, path, host.log)),
    );
  };
}

/** The same for a handler that decodes and checks by itself. */
export function adaptEncoded(
  method: DescMethod,
  handler: EncodedUnaryHandler<DescMessage>,
  host: CallHost,
): handleUnaryCall<Buffer, AnyMessage> {
  const path = methodPath(method);
  return (call, callback) => {
    const identity = identify(call.metadata, host);
    if (identity === undefined) {
      callback(toServiceError(UNAUTHENTICATED));
      return;
    }
    answer(
      (request, scope) => handler(request, scope, invalidRequest),
      call.request,
      new CallScope(call, identity),
    ).then(
      (response) => callback(null, create(method.output, response)),
      (error: unknown) => callback(serviceError(error, path, host.log)),
    );
  };
}

/** A handler that throws before its first await rejects like any other. */
async function answer<R>(
  handler: (request: R, scope: CallScope) => Promise<AnyInit>,
  request: R,
  scope: CallScope,
): Promise<AnyInit> {
  return handler(request, scope);
}

function serverStream(
  method: DescMethod,
  handler: ServerStreamHandler<DescMessage, DescMessage>,
  host: CallHost,
): handleServerStreamingCall<AnyMessage, AnyMessage> {
  return (call) => {
    const identity = identify(call.metadata, host);
    const refusal = identity === undefined ? UNAUTHENTICATED : invalidRequest(method.input, call.request);
    if (identity === undefined || refusal !== undefined) {
      call.emit('error', toServiceError(refusal ?? UNAUTHENTICATED));
      return;
    }
    void stream(call, method, identity, host, (scope) => handler(call.request, scope));
  };
}

function bidi(
  method: DescMethod,
  handler: BidiHandler<DescMessage, DescMessage>,
  host: CallHost,
): handleBidiStreamingCall<AnyMessage, AnyMessage> {
  return (call) => {
    const identity = identify(call.metadata, host);
    if (identity === undefined) {
      call.emit('error', toServiceError(UNAUTHENTICATED));
      return;
    }
    void stream(call, method, identity, host, (scope) => handler(requestsOf(call, method, scope), scope));
  };
}

async function* requestsOf(
  call: ServerDuplexStream<AnyMessage, AnyMessage>,
  method: DescMethod,
  scope: CallScope,
): AsyncGenerator<AnyMessage, void, undefined> {
  try {
    // Leaving the iteration must not destroy the half of the stream that answers.
    for await (const message of call.iterator({ destroyOnReturn: false })) {
      const refusal = invalidRequest(method.input, message as AnyMessage);
      if (refusal !== undefined) {
        scope.abort(new InvalidMessage(refusal));
        return;
      }
      yield message as AnyMessage;
    }
  } catch (error) {
    // A caller that is gone ends the iteration, it does not break it.
    if (!scope.aborted) throw error;
  }
}

/** Writes what the handler yields, no faster than the caller reads. */
async function stream(
  call: OutStream,
  method: DescMethod,
  identity: Identity,
  host: CallHost,
  start: (scope: CallScope) => AsyncIterable<AnyInit>,
): Promise<void> {
  const scope = new CallScope(call, identity);
  const { signal } = scope;
  let answered = false;
  const fail = (error: unknown): void => {
    if (answered || call.cancelled) return;
    answered = true;
    const known = error instanceof InvalidMessage ? toServiceError(error.parts) : undefined;
    call.emit('error', known ?? serviceError(error, methodPath(method), host.log));
  };
  // The server stops, or the caller went away: the caller is told at once, whatever the handler still does.
  signal.addEventListener('abort', () => fail(signal.reason), { once: true });
  host.streams.add(scope);
  try {
    for await (const response of start(scope)) {
      if (signal.aborted) break;
      if (!call.write(create(method.output, response))) await once(call, 'drain', { signal });
    }
    if (!answered && !call.cancelled) {
      answered = true;
      call.end();
    }
  } catch (error) {
    fail(error);
  } finally {
    host.streams.delete(scope);
  }
}

function identify(metadata: Metadata, { authenticator }: CallHost): Identity | undefined {
  const [header] = metadata.get('authorization');
  return authenticator.authenticate({ authorization: typeof header === 'string' ? header : undefined });
}

/** A message within a stream breaks its rules. */
class InvalidMessage extends Error {
  readonly parts: StatusParts;
  constructor(parts: StatusParts) {
    super(parts.message);
    this.parts = parts;
  }
}
