import type { DescService } from '@bufbuild/protobuf';
import { type CallOptions, CLIENT_CHANNEL_OPTIONS, type ServiceClient, serviceClient } from '@galley/proto';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { GalleyError } from './errors.ts';
import type { CompiledOptions } from './options.ts';
import { backoffMs, pause, type Repeatability, withRetries } from './retry.ts';

/** What every method takes beside its own arguments. */
export interface RequestOptions {
  /** Gives up, with CANCELLED. */
  readonly signal?: AbortSignal;
  /** Milliseconds for one call. Default: the client's. */
  readonly timeoutMs?: number;
}

/** What a stream that survives lost connections tells its caller. */
export interface StreamOptions {
  readonly signal?: AbortSignal;
  /** Called when the connection is lost (with the error) and when it is back (without). */
  readonly onReconnect?: (error: GalleyError | undefined) => void;
}

/** One connection, and how calls on it are made. */
export interface Transport {
  readonly options: CompiledOptions;
  service<S extends DescService>(service: S): ServiceClient<S>;
  /** A call with one answer: deadline, token, retries. Throws GalleyError. */
  call<T>(
    repeatability: Repeatability,
    make: (options: CallOptions) => Promise<T>,
    options: RequestOptions | undefined,
  ): Promise<T>;
  /** A stream that is opened once. Throws GalleyError. */
  stream<T>(open: (options: CallOptions) => AsyncIterable<T>, signal: AbortSignal | undefined): AsyncGenerator<T>;
  /**
   * A stream that is opened again, at the caller's position, when the connection is lost. It ends when an opened stream
   * ends without an error, and throws when reconnecting took too long or the server refused.
   */
  resumingStream<T>(open: (options: CallOptions) => AsyncIterable<T>, options: StreamOptions): AsyncGenerator<T>;
  close(): void;
}

export function openTransport(options: CompiledOptions): Transport {
  const client = new Client(options.address, credentials.createInsecure(), CLIENT_CHANNEL_OPTIONS);
  const services = new Map<DescService, unknown>();

  const metadata = (): Metadata => {
    const headers = new Metadata();
    if (options.token !== undefined) headers.set('authorization', `Bearer ${options.token}`);
    return headers;
  };

  const callOptions = (signal: AbortSignal | undefined): CallOptions => ({
    metadata: metadata(),
    ...(signal === undefined ? {} : { signal }),
  });

  async function* stream<T>(open: (options: CallOptions) => AsyncIterable<T>, signal: AbortSignal | undefined) {
    try {
      yield* open(callOptions(signal));
    } catch (error) {
      throw GalleyError.from(error);
    }
  }

  return {
    options,

    service<S extends DescService>(service: S): ServiceClient<S> {
      let found = services.get(service);
      if (found === undefined) services.set(service, (found = serviceClient(service, client)));
      return found as ServiceClient<S>;
    },

    call: (repeatability, make, request = {}) =>
      withRetries(
        () => make({ ...callOptions(request.signal), timeoutMs: request.timeoutMs ?? options.timeoutMs }),
        options.retry,
        repeatability,
        request.signal,
      ),

    stream,

    async *resumingStream<T>(open: (options: CallOptions) => AsyncIterable<T>, { signal, onReconnect }: StreamOptions) {
      let lostSince: number | undefined;
      for (let attempt = 1; ; attempt += 1) {
        try {
          for await (const item of open(callOptions(signal))) {
            if (lostSince !== undefined) onReconnect?.(undefined);
            lostSince = undefined;
            attempt = 0;
            yield item;
          }
          return;
        } catch (thrown) {
          const error = GalleyError.from(thrown);
          if (signal?.aborted === true || !isLostConnection(error)) throw error;
          if (lostSince === undefined) onReconnect?.(error);
          lostSince ??= performance.now();
          if (performance.now() - lostSince > options.reconnectTimeoutMs) throw error;
          await pause(backoffMs(options.retry, Math.max(1, attempt)), signal);
        }
      }
    },

    close: () => client.close(),
  };
}

/** What a restarting or unreachable server makes of an open stream; a refusal by the server has another code. */
function isLostConnection(error: GalleyError): boolean {
  return error.code === 'UNAVAILABLE' || error.code === 'CANCELLED' || error.message.startsWith('Received RST_STREAM');
}
