import type { MessageInitShape } from '@bufbuild/protobuf';
import type { FollowLogRequest, FollowLogResponseSchema } from '@galley/proto';
import type { FollowOptions } from '../logs/log-store.ts';
import { toApiError } from './errors.ts';
import { type FoundJob, isEnded } from './job-lookup.ts';
import { toLogChunk } from './log-messages.ts';
import { attemptsOf, findLog, type LogTarget, refOf, selectorOf, settleEnd, type TargetParts } from './log-target.ts';
import type { ApiParts } from './parts.ts';

/**
 * How long the rest of a stream is waited for when its attempt is over and its node is not connected, in milliseconds. The
 * bytes are on the node; whoever follows later, when it is back, gets them.
 */
const ABSENT_NODE_PATIENCE_MS = 10_000;

type FollowMessage = MessageInitShape<typeof FollowLogResponseSchema>;
type FollowParts = TargetParts & Pick<ApiParts, 'watcher'>;

/** From a point on, as it is written, to the end of the attempt, or of the job. */
export async function* followLog(
  parts: FollowParts,
  request: FollowLogRequest,
  signal: AbortSignal,
): AsyncGenerator<FollowMessage, void, undefined> {
  const target = await findLog(parts, selectorOf(request));
  const begin = (attempt: number) => (job: FoundJob) => attemptsOf(job) >= attempt;
  let attempt = Math.max(1, target.attempt);
  let from: FollowOptions['from'] =
    request.tailLines > 0 ? { lines: request.tailLines } : { offset: Number(request.offset) };
  for (;;) {
    const job = await untilJob(parts, target.job, begin(attempt), signal);
    if (job === undefined) return;
    if (attemptsOf(job) < attempt) {
      // It ended before its first attempt, or has no further one.
      if (attempt === 1) yield { chunks: [], attempt: 0, ended: true };
      return;
    }
    yield* followAttempt(parts, { ...target, job, attempt }, from, signal);
    if (!request.allAttempts || signal.aborted) return;
    attempt++;
    from = { offset: 0 };
  }
}

async function* followAttempt(
  parts: FollowParts,
  { job, attempt, stream }: LogTarget,
  from: NonNullable<FollowOptions['from']>,
  signal: AbortSignal,
): AsyncGenerator<FollowMessage, void, undefined> {
  const ending = new AbortController();
  const either = AbortSignal.any([signal, ending.signal]);
  let patience: NodeJS.Timeout | undefined;
  let abandoned = false;
  // Looks after the end while the bytes flow: the stream gets its end, and bytes that cannot come are not waited for.
  const watchEnd = async (): Promise<void> => {
    const over = (now: FoundJob) => isEnded(now) || now.attempt > attempt || now.node === '';
    const now = await untilJob(parts, job, over, either);
    if (now === undefined) return;
    await settleEnd(parts, now, attempt);
    patience = setInterval(() => {
      const node = nodeOf(now, job);
      if (node !== '' && parts.turns.view.node(job.account, node)?.connected === true) return;
      abandoned = true;
      ending.abort();
    }, ABSENT_NODE_PATIENCE_MS);
  };
  let failure: Error | undefined;
  const watching = watchEnd().catch((error: unknown) => {
    failure = toApiError(error);
    ending.abort();
  });
  try {
    for await (const chunk of parts.logs.follow(refOf(job, attempt), { stream, from, signal: either })) {
      patience?.refresh();
      yield { chunks: [toLogChunk(chunk)], attempt, ended: false };
    }
  } finally {
    ending.abort();
    await watching;
    clearInterval(patience);
  }
  if (failure !== undefined) throw failure;
  if (!signal.aborted) yield { chunks: [], attempt, ended: !abandoned };
}

/** The node that ran the attempt: of the last attempt's record, or of the job as it was when the following began. */
function nodeOf(now: FoundJob, before: FoundJob): string {
  if (isEnded(now)) return now.lastAttempt?.node ?? '';
  return isEnded(before) ? (before.lastAttempt?.node ?? '') : before.node;
}

/** The job as soon as it is as wanted, or when it is over; undefined when the caller went away first. */
async function untilJob(
  { watcher, lookup }: FollowParts,
  job: FoundJob,
  wanted: (job: FoundJob) => boolean,
  signal: AbortSignal,
): Promise<FoundJob | undefined> {
  if (wanted(job) || isEnded(job)) return job;
  const watch = await watcher.watch([job.id], signal);
  try {
    const [live] = watch.live;
    if (live !== undefined) {
      const [now] = job.child < 0 ? [live] : await lookup.byIds([job]);
      if (now !== undefined && (wanted(now) || isEnded(now))) return now;
      let over = false;
      for await (const events of watch) {
        for (const event of events) {
          if (event.kind === 'ended') over = true;
          else if (job.child < 0 && wanted(event.job)) return event.job;
        }
        // A child's parent says that children changed, not which.
        const [now] = job.child < 0 || over ? [] : await lookup.byIds([job]);
        if (now !== undefined && (wanted(now) || isEnded(now))) return now;
      }
      if (!over) return undefined;
    }
    return (await lookup.byIds([job]))[0];
  } finally {
    watch.close();
  }
}
