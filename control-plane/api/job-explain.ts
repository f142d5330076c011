import type { MessageInitShape } from '@bufbuild/protobuf';
import type { ExplainJobResponseSchema } from '@galley/proto';
import { formatJobId } from '../core/ids.ts';
import type { Turns } from '../turn/turns.ts';
import type { FoundJob } from './job-lookup.ts';
import { isEnded } from './job-lookup.ts';

/** How far into the queue a job's place is looked for, and how many of those ahead are named. */
const MAX_POSITION = 10_000;
const MAX_AHEAD = 10;

/** Why a job is not running, from the scheduler's own conditions. A job that runs or is over has no blockers. */
export async function explainJob(
  turns: Turns,
  job: FoundJob,
): Promise<MessageInitShape<typeof ExplainJobResponseSchema>> {
  if (isEnded(job)) return {};
  return turns.read((view) => {
    const order = view.dispatchOrder(job.account, job.queue, MAX_POSITION);
    const at = order.indexOf(job.number);
    const ahead = order.slice(0, Math.min(Math.max(at, 0), MAX_AHEAD));
    return {
      blockers: view.blockers(job.id).map(({ code, message }) => ({ code, message })),
      position: BigInt(at + 1),
      aheadJobIds: ahead.flatMap((number) => {
        const other = view.jobByNumber(number);
        return other === undefined ? [] : [formatJobId(other.id)];
      }),
    };
  });
}
