import { type IncomingMessage, request } from 'node:http';

/**
 * `unavailable`: nobody answers on the socket, or the engine went away in the middle of a call. `timeout`: it took the
 * call and did not answer in time; what was asked may still happen. `refused`: it answered with `status`.
 */
export type EngineErrorCode = 'unavailable' | 'timeout' | 'refused';

export class EngineError extends Error {
  readonly code: EngineErrorCode;
  /** The HTTP status of a refusal, else 0. */
  readonly status: number;

  constructor(code: EngineErrorCode, message: string, status = 0, options?: ErrorOptions) {
    super(message, options);
    this.name = 'EngineError';
    this.code = code;
    this.status = status;
  }
}

export function hasStatus(error: unknown, status: number): boolean {
  return error instanceof EngineError && error.status === status;
}

/** Whether the engine said no, as against not being there or not answering. */
export function isRefusal(error: unknown): error is EngineError {
  return error instanceof EngineError && error.code === 'refused';
}

type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Call {
  readonly query?: Query;
  readonly body?: unknown;
  /** Milliseconds from the call to the whole answer (of a stream: to its first byte). */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
}

/** Answers that are no streams are small; a longer one is not from an engine. */
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;

/**
 * The HTTP API of a container engine on its Unix socket: Docker's, and Podman's compatible one. Every call has a deadline
 * and a connection of its own, so that one that hangs holds up nothing else.
 *
 * Not dockerode: it adds 36 MB to the resident memory of an agent that shall be idle at 80 (protobuf, ssh2, a second gRPC).
 */
export class Engine {
  readonly socketPath: string;
  /** `/v1.41`, once negotiated. */
  #prefix = '';

  constructor(socketPath: string) {
    this.socketPath = socketPath;
  }

  /** The version that both sides speak; called before anything else. */
  useVersion(version: string): void {
    this.#prefix = `/v${version}`;
  }

  /** The parsed answer; undefined for an empty one. */
  async call<T>(method: string, path: string, call: Call): Promise<T> {
    const deadline = AbortSignal.timeout(call.deadlineMs);
    const response = await this.#send(method, path, call, deadline);
    const text = await readAll(response, () => this.#failure(deadline, call, `${method} ${path}`));
    if (text === '') return undefined as T;
    try {
      return JSON.parse(text) as T;
    } catch (error) {
      const message = `what listens at ${this.socketPath} does not speak the API of a container engine`;
      throw new EngineError('unavailable', message, 0, { cause: error });
    }
  }

  /** The answer as it comes; whoever reads it bounds the wait between its parts. */
  async stream(method: string, path: string, call: Call): Promise<IncomingMessage> {
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), call.deadlineMs);
    try {
      return await this.#send(method, path, call, deadline.signal);
    } finally {
      clearTimeout(timer);
    }
  }

  async #send(method: string, path: string, call: Call, deadline: AbortSignal): Promise<IncomingMessage> {
    const body = call.body === undefined ? undefined : JSON.stringify(call.body);
    const what = `${method} ${path}`;
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = request({
        socketPath: this.socketPath,
        path: `${this.#prefix}${path}${queryText(call.query)}`,
        method,
        agent: false,
        // Engines look at it only to refuse requests that come from browsers.
        headers: { host: 'engine', ...(body === undefined ? {} : jsonHeaders(body)) },
        signal: call.signal === undefined ? deadline : AbortSignal.any([deadline, call.signal]),
      });
      outgoing.once('response', resolve);
      outgoing.on('error', (error) => reject(this.#failure(deadline, call, what, error)));
      outgoing.end(body);
    });
    const status = response.statusCode ?? 0;
    // 304: it is in the state that was asked for already.
    if (status < 400) return response;
    const text = await readAll(response, () => this.#failure(deadline, call, what));
    throw new EngineError('refused', messageOf(text) || `${what}: HTTP status ${status}`, status);
  }

  #failure(deadline: AbortSignal, { deadlineMs }: Call, what: string, cause?: Error): EngineError {
    if (deadline.aborted) {
      return new EngineError('timeout', `the container engine did not answer ${what} within ${deadlineMs} ms`);
    }
    const why = cause === undefined ? 'it ended the connection' : cause.message;
    return new EngineError('unavailable', `the container engine at ${this.socketPath} does not answer: ${why}`, 0, {
      cause,
    });
  }
}

function queryText(query: Query = {}): string {
  const pairs = Object.entries(query).flatMap(([name, value]) => (value === undefined ? [] : [[name, `${value}`]]));
  return pairs.length === 0 ? '' : `?${new URLSearchParams(pairs).toString()}`;
}

function jsonHeaders(body: string): Record<string, string | number> {
  return { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
}

async function readAll(response: IncomingMessage, failure: () => EngineError): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const part of response as AsyncIterable<Buffer>) {
      bytes += part.length;
      if (bytes > MAX_ANSWER_BYTES) throw new RangeError(`an answer of more than ${MAX_ANSWER_BYTES} bytes`);
      parts.push(part);
    }
  } catch {
    throw failure();
  }
  return Buffer.concat(parts).toString();
}

function messageOf(text: string): string {
  try {
    const { message } = JSON.parse(text) as { message?: unknown };
    return typeof message === 'string' ? message : text.trim();
  } catch {
    return text.trim();
  }
}
