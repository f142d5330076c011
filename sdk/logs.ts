import {
  type FollowLogResponse,
  GetLogInfoResponseSchema,
  type LogChunk as LogChunkMessage,
  LogService,
  LogStream,
} from '@galley/proto';
import { GalleyError } from './errors.ts';
import { toPlain } from './plain.ts';
import type { RequestOptions, StreamOptions, Transport } from './transport.ts';

export type LogStreamName = 'OUTPUT' | 'STDOUT' | 'STDERR';

/** Bytes of a stream, or (with a `gapReason`) how many are missing there. */
export interface LogChunk {
  readonly attempt: number;
  /** Of the first byte, from the beginning of the stream. */
  readonly offset: number;
  /** When the agent saw it. */
  readonly observedAtMs: number;
  /** Empty for a gap. */
  readonly data: Uint8Array;
  /** 0, except for a gap. */
  readonly gapLength: number;
  readonly gapReason: string;
}

export interface LogSelection {
  /** From 1. Default: the latest. */
  readonly attempt?: number;
  /** Default: OUTPUT; a job with separate streams has STDOUT and STDERR instead. */
  readonly stream?: LogStreamName;
}

export interface ReadLogOptions extends LogSelection, RequestOptions {
  /** Default: 0. */
  readonly offset?: number;
  /** At most 4 MiB. Default: 1 MiB. */
  readonly maxBytes?: number;
  /** The last so many lines instead of `offset`. */
  readonly tailLines?: number;
}

export interface FollowLogOptions extends LogSelection, StreamOptions {
  readonly offset?: number;
  /** Begin with the last so many lines instead of at `offset`. */
  readonly tailLines?: number;
  /** Go on with the next attempt until the job is over. Default: false. */
  readonly allAttempts?: boolean;
}

/** The `reason` of the error that ends a log whose node is not there to give the rest. */
export const REASON_LOG_INCOMPLETE = 'LOG_INCOMPLETE';

/** One read: chunks, and where the next read begins. */
export interface LogPage {
  readonly attempt: number;
  readonly chunks: readonly LogChunk[];
  readonly nextOffset: number;
  /** Nothing comes after `nextOffset`. */
  readonly ended: boolean;
  readonly length: number;
}

export function logMethods(transport: Transport) {
  const service = transport.service(LogService);

  const selector = (jobId: string, { attempt = 0, stream = 'OUTPUT' }: LogSelection) => ({
    account: transport.options.account,
    jobId,
    attempt,
    stream: LogStream[stream],
  });

  /** A part of one stream of one attempt. */
  async function readLog(jobId: string, options: ReadLogOptions = {}): Promise<LogPage> {
    const { offset = 0, maxBytes = 0, tailLines = 0 } = options;
    const request = { log: selector(jobId, options), offset: BigInt(offset), maxBytes, tailLines };
    const answer = await transport.call('safe', (call) => service.readLog(request, call), options);
    return {
      attempt: answer.attempt,
      chunks: answer.chunks.map((chunk) => toChunk(chunk, answer.attempt)),
      nextOffset: Number(answer.nextOffset),
      ended: answer.ended,
      length: Number(answer.length),
    };
  }

  /** All that is there now, from `offset` or the last lines on, in as many reads as it takes. */
  async function* readWholeLog(jobId: string, options: ReadLogOptions = {}): AsyncGenerator<LogChunk> {
    let page = await readLog(jobId, options);
    yield* page.chunks;
    while (!page.ended && page.nextOffset < page.length) {
      const before = page.nextOffset;
      const { tailLines: _, ...rest } = options;
      page = await readLog(jobId, { ...rest, attempt: page.attempt, offset: before });
      yield* page.chunks;
      if (page.nextOffset === before) return;
    }
  }

  /**
   * A stream as it is written, to its end. Survives restarts of the control plane and lost connections: it goes on at
   * the next byte, without a gap and without repeating one. Throws FAILED_PRECONDITION, reason LOG_INCOMPLETE, when the
   * attempt is over and the node that holds the rest of its log is not connected.
   */
  async function* followLog(jobId: string, options: FollowLogOptions = {}): AsyncGenerator<LogChunk> {
    const { allAttempts = false, tailLines = 0 } = options;
    let attempt = options.attempt ?? 0;
    let next = options.offset ?? 0;
    let begun = false;
    let ended = false;

    async function* once(call: Parameters<typeof service.followLog>[1]): AsyncGenerator<FollowLogResponse> {
      const log = selector(jobId, { ...options, attempt });
      const request = { log, offset: BigInt(next), tailLines: begun ? 0 : tailLines, allAttempts };
      yield* service.followLog(request, call);
      // A server that stops says so with an error; one that ends the stream by itself has nothing more to give.
      if (!ended) {
        throw new GalleyError('FAILED_PRECONDITION', 'the rest of the log is on a node that is not connected', {
          reason: REASON_LOG_INCOMPLETE,
        });
      }
    }

    for await (const answer of transport.resumingStream(once, options)) {
      if (answer.attempt !== attempt && begun) next = 0;
      if (answer.attempt !== 0) attempt = answer.attempt;
      for (const message of answer.chunks) {
        const chunk = toChunk(message, attempt);
        const fresh = begun ? after(chunk, next) : chunk;
        begun = true;
        if (fresh === undefined) continue;
        next = fresh.offset + fresh.data.byteLength + fresh.gapLength;
        yield fresh;
      }
      ended = answer.ended;
    }
  }

  /** Length and state of each stream of an attempt. */
  async function getLogInfo(jobId: string, options: LogSelection & RequestOptions = {}) {
    const request = { log: selector(jobId, options) };
    return toPlain(
      GetLogInfoResponseSchema,
      await transport.call('safe', (call) => service.getLogInfo(request, call), options),
    );
  }

  return { readLog, readWholeLog, followLog, getLogInfo };
}

function toChunk(message: LogChunkMessage, attempt: number): LogChunk {
  return {
    attempt,
    offset: Number(message.offset),
    observedAtMs: Number(message.observedAtMs),
    data: message.data,
    gapLength: Number(message.gapLength),
    gapReason: message.gapReason,
  };
}

/** The part of a chunk from `next` on; a server may answer a follower with the whole chunk that holds the offset. */
function after(chunk: LogChunk, next: number): LogChunk | undefined {
  const skip = next - chunk.offset;
  if (skip <= 0) return chunk;
  if (skip >= chunk.data.byteLength + chunk.gapLength) return undefined;
  const gapLength = Math.max(0, chunk.gapLength - skip);
  return { ...chunk, offset: next, data: chunk.data.subarray(skip), gapLength };
}
