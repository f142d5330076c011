import type { MessageInitShape } from '@bufbuild/protobuf';
import type { JobSummary, WatchJobsResponseSchema } from '@galley/proto';
import { formatJobId } from '../core/ids.ts';
import type { JobIdBytes } from '../core/types.ts';
import { type FoundJob, isEnded, type JobLookup, jobIdText } from './job-lookup.ts';
import { toSummary } from './job-messages.ts';
import type { ApiParts } from './parts.ts';
import { readLabels } from './specs.ts';
import type { Target } from './targets.ts';

/** Jobs of one message of the stream. */
const MAX_MESSAGE_JOBS = 1_000;

type WatchMessage = MessageInitShape<typeof WatchJobsResponseSchema>;

/**
 * The state of each job, then every change, until all are over. Names are read once and remembered. A child of an array is
 * watched through its parent, which tells when children changed.
 */
export async function* watchJobs(
  { turns, watcher }: Pick<ApiParts, 'turns' | 'watcher'>,
  lookup: JobLookup,
  account: string,
  targets: readonly Target[],
  signal: AbortSignal,
): AsyncGenerator<WatchMessage, void, undefined> {
  const names = new Map<number, string>();
  const summaries = async (jobs: readonly FoundJob[]): Promise<JobSummary[]> => {
    const unnamed = jobs.filter((job) => !names.has(job.number));
    for (const [at, { jobName }] of (await readLabels(turns.store, unnamed)).entries()) {
      names.set(unnamed[at]?.number ?? 0, jobName);
    }
    return jobs.map((job) => toSummary(job, names.get(job.number) ?? ''));
  };
  const watch = await watcher.watch(distinctIds(targets), signal);
  try {
    const found = await lookup.byIds(targets.map((target) => ({ account, ...target })));
    const unknown = targets.filter((_, at) => found[at] === undefined);
    const known = found.filter((job) => job !== undefined);
    const first = await summaries(known);
    yield { jobs: first.slice(0, MAX_MESSAGE_JOBS), unknownJobIds: unknown.map(jobIdText) };
    yield* messages(first.slice(MAX_MESSAGE_JOBS));
    const open = new Map(known.filter((job) => !isEnded(job)).map((job) => [jobIdText(job), job]));
    if (open.size === 0) return;
    for await (const events of watch) {
      const touched = new Set(events.map((event) => (event.kind === 'live' ? event.job.number : event.number)));
      const asked = [...open.values()].filter((job) => touched.has(job.number));
      const now = (await lookup.byIds(asked)).filter((job) => job !== undefined);
      const changed = now.filter((job) => hasChanged(open.get(jobIdText(job)), job));
      for (const job of now) {
        if (isEnded(job)) open.delete(jobIdText(job));
        else open.set(jobIdText(job), job);
      }
      yield* messages(await summaries(changed));
      if (open.size === 0) return;
    }
  } finally {
    watch.close();
  }
}

/** Of a child only what concerns itself is told: its parent speaks up for all of them. */
function hasChanged(before: FoundJob | undefined, now: FoundJob): boolean {
  if (before === undefined || isEnded(before) || isEnded(now) || now.child < 0) return true;
  return before.state !== now.state || before.attempt !== now.attempt || before.reason !== now.reason;
}

function distinctIds(targets: readonly Target[]): JobIdBytes[] {
  return [...new Map(targets.map(({ id }) => [formatJobId(id), id])).values()];
}

function* messages(jobs: JobSummary[]): Generator<WatchMessage, void, undefined> {
  for (let at = 0; at < jobs.length; at += MAX_MESSAGE_JOBS) {
    yield { jobs: jobs.slice(at, at + MAX_MESSAGE_JOBS), unknownJobIds: [] };
  }
}
