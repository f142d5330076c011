import type { MessageInitShape } from '@bufbuild/protobuf';
import type { JobSummary, WatchJobsResponseSchema } from '@galley/proto';
import { formatJobId } from '../core/ids.ts';
import { decodeEndedJob, endedJobKey } from '../core/records/index.ts';
import type { JobIdBytes } from '../core/types.ts';
import type { WatchEvent } from '../turn/watch.ts';
import type { FoundJob, JobLookup } from './job-lookup.ts';
import { toSummary } from './job-messages.ts';
import type { ApiParts } from './parts.ts';
import { readLabels } from './specs.ts';

/** Jobs of one message of the stream. */
const MAX_MESSAGE_JOBS = 1_000;

type WatchMessage = MessageInitShape<typeof WatchJobsResponseSchema>;

/** The state of each job, then every change, until all are over. Names are read once and remembered. */
export async function* watchJobs(
  { turns, watcher }: Pick<ApiParts, 'turns' | 'watcher'>,
  lookup: JobLookup,
  account: string,
  ids: readonly JobIdBytes[],
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
  const watch = await watcher.watch(ids, signal);
  try {
    const live = watch.live.filter((job) => job.account === account);
    const foreign = watch.live.filter((job) => job.account !== account).map((job) => job.id);
    const ended = await lookup.byIds(watch.absent.map((id) => ({ account, id })));
    const unknown = [...watch.absent.filter((_, at) => ended[at] === undefined), ...foreign];
    const known = await summaries([...live, ...ended.filter((job) => job !== undefined)]);
    yield { jobs: known.slice(0, MAX_MESSAGE_JOBS), unknownJobIds: unknown.map(formatJobId) };
    yield* messages(known.slice(MAX_MESSAGE_JOBS));
    if (live.length === 0) return;
    for await (const events of watch) {
      const changed = await currentJobs(events);
      yield* messages(await summaries(changed.filter((job) => job.account === account)));
    }
  } finally {
    watch.close();
  }

  async function currentJobs(events: readonly WatchEvent[]): Promise<FoundJob[]> {
    const over = events.filter((event) => event.kind === 'ended');
    const records = await turns.store.getMany(over.map(({ number }) => endedJobKey(account, number)));
    return [
      ...events.flatMap((event) => (event.kind === 'live' ? [event.job] : [])),
      ...records.flatMap((bytes) => (bytes === undefined ? [] : [decodeEndedJob(bytes)])),
    ];
  }
}

function* messages(jobs: JobSummary[]): Generator<WatchMessage, void, undefined> {
  for (let at = 0; at < jobs.length; at += MAX_MESSAGE_JOBS) {
    yield { jobs: jobs.slice(at, at + MAX_MESSAGE_JOBS), unknownJobIds: [] };
  }
}
