import type { DescMessage, DescService } from '@bufbuild/protobuf';
import { SERVER_OPTIONS, serviceDefinition } from '@galley/proto';
import { Server, ServerCredentials, status, type UntypedServiceImplementation } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { AgentPlaneError } from '../agents/errors.ts';
import type { Authenticator } from '../security/authenticator.ts';
import { formatAddress } from '../security/listen-address.ts';
import { adapt, adaptEncoded, type CallHost } from './adapter.ts';
import type { CallScope } from './call-scope.ts';
import type { EncodedHandlers, EncodedUnaryHandler, Handlers } from './handler.ts';

/** How long calls may go on after `close` before their connections are destroyed, in ms. */
export const STOP_GRACE_MS = 3_000;

export interface GrpcServerOptions {
  readonly authenticator: Authenticator;
  readonly log: Logger;
}

/** The native gRPC listener. */
export class GrpcServer {
  readonly #server = new Server(SERVER_OPTIONS);
  readonly #host: CallHost;

  constructor({ authenticator, log }: GrpcServerOptions) {
    this.#host = { authenticator, log, streams: new Set<CallScope>() };
  }

  /** Methods without a handler answer UNIMPLEMENTED. Those in `encoded` get their requests as they came. */
  register<S extends DescService>(service: S, handlers: Partial<Handlers<S>>, encoded: EncodedHandlers<S> = {}): void {
    const definition = { ...serviceDefinition(service) };
    const implementation: UntypedServiceImplementation = {};
    for (const method of service.methods) {
      const name = method.localName;
      const handler: unknown = Reflect.get(handlers, name);
      const encodedHandler = Reflect.get(encoded, name) as EncodedUnaryHandler<DescMessage> | undefined;
      if (encodedHandler !== undefined && method.methodKind === 'unary') {
        const described = definition[name];
        if (described === undefined) throw new Error(`${service.typeName} has no method ${name}`);
        definition[name] = { ...described, requestDeserialize: (bytes) => bytes };
        implementation[name] = adaptEncoded(method, encodedHandler, this.#host);
      } else if (handler !== undefined) {
        implementation[name] = adapt(method, handler, this.#host);
      }
    }
    this.#server.addService(definition, implementation);
  }

  /** Begins to listen; port 0 takes any. Resolves with the address: `127.0.0.1:8642`. Rejects when it cannot be had. */
  listen(host: string, port: number): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(formatAddress(host, port), ServerCredentials.createInsecure(), (error, bound) => {
        if (error === null) resolve(formatAddress(host, bound));
        else reject(error);
      });
    });
  }

  /** Ends streams with UNAVAILABLE, takes no new calls, and destroys what is still open after the grace. */
  async close(graceMs: number = STOP_GRACE_MS): Promise<void> {
    const stopping = new AgentPlaneError(status.UNAVAILABLE, 'the control plane is stopping; connect again');
    for (const scope of this.#host.streams) scope.abort(stopping);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => {
        this.#server.forceShutdown();
        resolve();
      }, graceMs);
      this.#server.tryShutdown(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}
