import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  type AttemptId,
  LogStream,
  type ShipLogsRequest,
  type ShipLogsResponseSchema,
  type ShippedChunk,
} from '@galley/proto';
import { status } from '@grpc/grpc-js';
import { type LogChunk, type LogStore, LogStoreError, type Refusal, type StreamKind } from '../logs/log-store.ts';
import { AgentPlaneError } from './errors.ts';

type Response = MessageInitShape<typeof ShipLogsResponseSchema>;

/** Messages of one agent that are being written at once: they share a sync. */
const MAX_IN_FLIGHT = 8;

/** When an agent may try again, in ms. */
const RETRY_MS = {
  /** The disk is full. */
  noSpace: 10_000,
  /** Too much waits, or the store is being repaired. */
  busy: 1_000,
};

/**
 * Takes the logs of one agent: each message is acked once everything in it is synced, in order. When the log store takes
 * nothing, the agent is told when to try again and the stream ends: it then sends everything anew that was not acked.
 */
export async function* shipLogs(
  requests: AsyncIterable<ShipLogsRequest>,
  logs: LogStore,
  signal: AbortSignal,
): AsyncGenerator<Response> {
  const incoming: AsyncIterator<ShipLogsRequest, unknown> = requests[Symbol.asyncIterator]();
  const read = () => observed(incoming.next());
  const inFlight: Promise<Response>[] = [];
  let next: ReturnType<typeof read> | undefined = read();
  let expected = 1n;
  while (next !== undefined || inFlight.length > 0) {
    const oldest = inFlight[0];
    const reading = inFlight.length < MAX_IN_FLIGHT ? next : undefined;
    const event = await Promise.race(
      [reading?.then((result) => ({ result })), oldest?.then((response) => ({ response }))].filter(isDefined),
    );
    if (signal.aborted) return;
    if ('response' in event) {
      void inFlight.shift();
      yield event.response;
      if ((event.response.retryAfterMs ?? 0) > 0) return;
    } else if (event.result.done === true) {
      next = undefined;
    } else {
      const request = event.result.value;
      if (request.sequence !== expected) throw outOfOrder(request, expected);
      expected++;
      inFlight.push(observed(write(request, logs)));
      next = read();
    }
  }
}

async function write({ chunks, sequence }: ShipLogsRequest, logs: LogStore): Promise<Response> {
  try {
    const { refused } = await logs.append(chunks.map(toChunk));
    return { ackedSequence: sequence, resends: refused.flatMap((refusal) => toResend(refusal, chunks)) };
  } catch (error) {
    return { retryAfterMs: retryAfterMs(error) };
  }
}

/** How long to wait before everything unacked is sent anew; throws what waiting does not cure. */
function retryAfterMs(error: unknown): number {
  if (!(error instanceof LogStoreError)) throw error;
  switch (error.code) {
    case 'NO_SPACE':
      return RETRY_MS.noSpace;
    case 'OVERLOADED':
    case 'WRITE_FAILED':
    case 'UNAVAILABLE':
      return RETRY_MS.busy;
    case 'INVALID':
      throw new AgentPlaneError(status.INVALID_ARGUMENT, error.message, { cause: error });
    default:
      throw new AgentPlaneError(status.UNAVAILABLE, 'the log store takes nothing; connect again', { cause: error });
  }
}

/** What starts past the known end is wanted from there; what reaches past the attempt's final length is not wanted. */
function toResend({ code, index, resendFrom }: Refusal, chunks: readonly ShippedChunk[]) {
  const { id, chunk } = chunks[index] ?? {};
  if (code !== 'AHEAD' || id === undefined || chunk === undefined) return [];
  return [{ id, stream: chunk.stream, fromOffset: BigInt(resendFrom) }];
}

function toChunk({ id, jobNumber, chunk }: ShippedChunk): LogChunk {
  if (id === undefined || chunk === undefined) {
    throw new AgentPlaneError(
      status.INVALID_ARGUMENT,
      'a shipped chunk names its attempt and has its bytes or its gap',
    );
  }
  const place = {
    ref: { jobNumber: Number(jobNumber), childIndex: childIndex(id), attempt: id.attempt },
    stream: toStream(chunk.stream),
    offset: Number(chunk.offset),
    observedAtMs: Number(chunk.observedAtMs),
  };
  if (chunk.gapLength > 0n) {
    return { ...place, kind: 'gap', length: Number(chunk.gapLength), reason: chunk.gapReason };
  }
  return { ...place, kind: 'data', data: chunk.data };
}

function childIndex({ childIndex: index }: AttemptId): number {
  return index < 0 ? -1 : index;
}

function toStream(stream: LogStream): StreamKind {
  switch (stream) {
    case LogStream.STDOUT:
      return 'stdout';
    case LogStream.STDERR:
      return 'stderr';
    default:
      return 'output';
  }
}

function outOfOrder({ sequence }: ShipLogsRequest, expected: bigint): AgentPlaneError {
  return new AgentPlaneError(
    status.INVALID_ARGUMENT,
    `messages rise by one from 1: expected ${expected}, got ${sequence}`,
  );
}

/** Whoever waits for it hears of its error; one that nobody waits for any more is no unhandled rejection. */
function observed<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

function isDefined<T>(value: T | undefined): value is T {
  return value !== undefined;
}
