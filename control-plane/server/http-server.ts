import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, isIPv6, type Socket } from 'node:net';
import { create, type DescMethod, type DescService, type MessageShape } from '@bufbuild/protobuf';
import {
  Code,
  ConnectError,
  type ConnectRouter,
  createContextKey,
  createContextValues,
  type HandlerContext,
  type ServiceImpl,
} from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { MAX_MESSAGE_BYTES, methodPath, type StatusParts, statusDetails } from '@galley/proto';
import { status } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import type { Authenticator, Identity } from '../security/authenticator.ts';
import { formatAddress } from '../security/listen-address.ts';
import { errorStatus } from './error-status.ts';
import type { CallContext, Handlers } from './handler.ts';
import type { Metrics } from './metrics.ts';
import { UNAUTHENTICATED } from './refusals.ts';
import { invalidRequest } from './validation.ts';

// The second plane (DESIGN D12): the same handlers for curl, browsers and gRPC-web, with health and metrics beside them.

/** How long requests may go on after `close` before their connections are destroyed, in ms. */
const STOP_GRACE_MS = 3_000;

const PEER = createContextKey('');

export interface HttpServerOptions {
  readonly authenticator: Authenticator;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** The HTTP listener: Connect and gRPC-web, `GET /healthz` (open to all, tells only that we answer) and `GET /metrics`. */
export class HttpServer {
  readonly #options: HttpServerOptions;
  readonly #services: ((router: ConnectRouter) => void)[] = [];
  readonly #server = createServer();
  readonly #stopping = new AbortController();

  constructor(options: HttpServerOptions) {
    this.#options = options;
  }

  /** Call before `listen`. Methods without a handler answer UNIMPLEMENTED. */
  register<S extends DescService>(service: S, handlers: Partial<Handlers<S>>): void {
    const implementation = Object.fromEntries(
      service.methods.flatMap((method) => {
        const handler: unknown = Reflect.get(handlers, method.localName);
        return handler === undefined ? [] : [[method.localName, this.#adapt(method, handler)]];
      }),
    ) as Partial<ServiceImpl<S>>;
    this.#services.push((router) => router.service(service, implementation));
  }

  /** Begins to listen; port 0 takes any. Resolves with the address. Rejects when it cannot be had. */
  listen(host: string, port: number): Promise<string> {
    const connect = connectNodeAdapter({
      routes: (router) => {
        for (const add of this.#services) add(router);
      },
      readMaxBytes: MAX_MESSAGE_BYTES,
      writeMaxBytes: MAX_MESSAGE_BYTES,
      shutdownSignal: this.#stopping.signal,
      contextValues: (request) => createContextValues().set(PEER, peerOf(request.socket)),
    });
    this.#server.on('request', (request, response) => {
      if (request.method === 'GET' && request.url === '/healthz') answer(response, 200, 'ok\n');
      else if (request.method === 'GET' && request.url === '/metrics') this.#answerMetrics(request, response);
      else connect(request, response);
    });
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, () => {
        resolve(formatAddress(host, (this.#server.address() as AddressInfo).port));
      });
    });
  }

  /** Takes no new requests, ends streams, and destroys what is still open after the grace. */
  async close(): Promise<void> {
    this.#stopping.abort(new ConnectError('the control plane is stopping; connect again', Code.Unavailable));
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => this.#server.closeAllConnections(), STOP_GRACE_MS);
      this.#server.close(() => {
        clearTimeout(timer);
        resolve();
      });
      this.#server.closeIdleConnections();
    });
  }

  #answerMetrics(request: IncomingMessage, response: ServerResponse): void {
    const { authenticator, metrics, log } = this.#options;
    if (authenticator.authenticate({ authorization: request.headers.authorization }) === undefined) {
      answer(response, 401, `${UNAUTHENTICATED.message}\n`);
      return;
    }
    metrics.text().then(
      (text) => answer(response, 200, text, metrics.contentType),
      (error: unknown) => {
        log.error({ err: error }, 'metrics could not be gathered');
        answer(response, 500, 'metrics could not be gathered\n');
      },
    );
  }

  /** A handler as the router calls it: authenticated, validated, with its errors mapped. */
  #adapt(method: DescMethod, handler: unknown): unknown {
    switch (method.methodKind) {
      case 'unary':
        return async (request: MessageShape<DescMethod['input']>, context: HandlerContext) => {
          const scope = this.#begin(method, request, context);
          try {
            return create(method.output, await (handler as UnknownUnary)(request, scope));
          } catch (error) {
            throw this.#error(method, error);
          }
        };
      case 'server_streaming':
        return (request: MessageShape<DescMethod['input']>, context: HandlerContext) =>
          this.#stream(method, handler, request, context);
      default:
        return () => {
          throw new ConnectError(`${methodPath(method)} needs native gRPC`, Code.Unimplemented);
        };
    }
  }

  async *#stream(
    method: DescMethod,
    handler: unknown,
    request: MessageShape<DescMethod['input']>,
    context: HandlerContext,
  ) {
    const scope = this.#begin(method, request, context);
    try {
      for await (const response of (handler as UnknownStream)(request, scope)) yield create(method.output, response);
    } catch (error) {
      throw this.#error(method, error);
    }
  }

  #begin(method: DescMethod, request: MessageShape<DescMethod['input']>, context: HandlerContext): CallContext {
    const identity = this.#options.authenticator.authenticate({
      authorization: context.requestHeader.get('authorization') ?? undefined,
    });
    if (identity === undefined) throw toConnectError(UNAUTHENTICATED);
    const refusal = invalidRequest(method.input, request);
    if (refusal !== undefined) throw toConnectError(refusal);
    return callContext(identity, context);
  }

  #error(method: DescMethod, error: unknown): ConnectError {
    return toConnectError(errorStatus(error, methodPath(method), this.#options.log));
  }
}

type UnknownUnary = (request: unknown, context: CallContext) => Promise<Record<string, unknown>>;
type UnknownStream = (request: unknown, context: CallContext) => AsyncIterable<Record<string, unknown>>;

function callContext(identity: Identity, context: HandlerContext): CallContext {
  const timeoutMs = context.timeoutMs();
  return {
    ...identity,
    signal: context.signal,
    deadlineMs: timeoutMs === undefined ? undefined : Date.now() + timeoutMs,
    peer: context.values.get(PEER),
  };
}

/** gRPC's codes and Connect's are the same numbers; OK has none. */
function toConnectError(parts: StatusParts): ConnectError {
  const code = parts.code === status.OK ? Code.Unknown : (parts.code as number as Code);
  return new ConnectError(parts.message, code, undefined, statusDetails(parts));
}

function peerOf({ remoteAddress = '', remotePort }: Socket): string {
  return `${isIPv6(remoteAddress) ? `[${remoteAddress}]` : remoteAddress}:${remotePort ?? 0}`;
}

function answer(response: ServerResponse, code: number, text: string, type = 'text/plain; charset=utf-8'): void {
  response.writeHead(code, { 'content-type': type, 'x-content-type-options': 'nosniff' });
  response.end(text);
}
