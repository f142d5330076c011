import type { LogService, ReadLogRequest } from '@galley/proto';
import type { ReadResult } from '../logs/log-store.ts';
import type { Handlers } from '../server/handler.ts';
import { DefinitionCache } from './definitions.ts';
import { invalid } from './errors.ts';
import { isEnded, JobLookup } from './job-lookup.ts';
import { followLog } from './log-follow.ts';
import { toLogChunk, toLogStream } from './log-messages.ts';
import { findLog, type LogTarget, refOf, STREAMS, selectorOf, settleEnd, type TargetParts } from './log-target.ts';
import type { ApiParts } from './parts.ts';

/** What jobs write, while they run and after. */
export function createLogService(parts: ApiParts): Handlers<typeof LogService> {
  const { turns, logs } = parts;
  const target: TargetParts = { turns, logs, definitions: new DefinitionCache(), lookup: new JobLookup(turns) };
  return {
    readLog: async (request) => {
      if (request.tailLines > 0 && request.tailBytes > 0n) {
        throw invalid('tail_bytes', `not together with tail_lines, got ${request.tailBytes} and ${request.tailLines}`);
      }
      const found = await findLog(target, selectorOf(request));
      if (found.attempt === 0) return { ended: isEnded(found.job) };
      await settleEnd(target, found.job, found.attempt);
      const { chunks, nextOffset, ended, knownLength } = await read(target, found, request);
      return {
        chunks: chunks.map(toLogChunk),
        nextOffset: BigInt(nextOffset),
        ended,
        length: BigInt(knownLength),
        attempt: found.attempt,
      };
    },

    followLog: (request, { signal }) => followLog({ ...target, watcher: parts.watcher }, request, signal),

    getLogInfo: async (request) => {
      const { job, attempt, separateStreams } = await findLog(target, selectorOf(request));
      if (attempt === 0) return {};
      await settleEnd(target, job, attempt);
      const lengths = await logs.lengths(refOf(job, attempt));
      const kept = STREAMS.filter(({ kind }) => (kind === 'output') !== separateStreams);
      return {
        attempt,
        streams: kept.map(({ kind }) => {
          const { known, final } = lengths[kind];
          return { stream: toLogStream(kind), length: BigInt(known), ended: final !== undefined && known >= final };
        }),
      };
    },
  };
}

function read({ logs }: TargetParts, found: LogTarget, request: ReadLogRequest): Promise<ReadResult> {
  const { stream } = found;
  const ref = refOf(found.job, found.attempt);
  if (request.tailLines > 0) return logs.tail({ ref, stream, last: { lines: request.tailLines } });
  if (request.tailBytes > 0n) return logs.tail({ ref, stream, last: { bytes: Number(request.tailBytes) } });
  return logs.read({
    ref,
    stream,
    offset: Number(request.offset),
    ...(request.maxBytes === 0 ? {} : { maxBytes: request.maxBytes }),
  });
}
