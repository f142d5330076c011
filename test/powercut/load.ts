import { randomUUID } from 'node:crypto';
import { type GalleyClient, GalleyError } from '@galley/sdk';
import type { Random } from '../harness/random.ts';
import type { Ledger, LedgerRequest } from './ledger.ts';

/** Single submits in flight, in all. */
const SINGLES = 8;
const EACH_JOBS = 40;
const ATOMIC_JOBS = 20;
const CANCEL_JOBS = 5;
/** The longest padding of a job's command, in characters. */
const LONGEST_PADDING = 400;

/** What a call says whose machine has gone. */
const GONE: ReadonlySet<string> = new Set(['UNAVAILABLE', 'OUTCOME_UNKNOWN', 'DEADLINE_EXCEEDED', 'CANCELLED']);

export interface ClientOptions {
  /** Each call gives a new connection. */
  readonly connect: () => GalleyClient;
  /** Aborted when the power is cut: calls may fail from then on. */
  readonly cut: AbortSignal;
}

export interface LoadOptions extends ClientOptions {
  readonly ledger: Ledger;
  readonly random: Random;
}

/**
 * Concurrent clients: single submits, batches of both kinds, and somebody who cancels what was acknowledged. Ends when
 * each of them has lost its machine. Rejects when a call fails in any other way, or before the power was cut.
 */
export async function runLoad(options: LoadOptions): Promise<void> {
  const { ledger, random } = options;
  /** Acknowledged and not cancelled yet. */
  const alive: string[] = [];
  const singles = Array.from({ length: SINGLES }, () =>
    untilCut(options, async (galley) => {
      const request = newRequest(random);
      ledger.submitting([request], false);
      const { number } = await galley.submitJob(request);
      ledger.submitted(request.jobId, number);
      alive.push(request.jobId);
    }),
  );
  const batches = (['each', 'atomic'] as const).map((mode) =>
    untilCut(options, async (galley) => {
      const length = mode === 'atomic' ? ATOMIC_JOBS : EACH_JOBS;
      const requests = Array.from({ length }, () => newRequest(random));
      ledger.submitting(requests, mode === 'atomic');
      for (const result of await galley.submitJobs(requests, { mode })) {
        if (!result.ok) throw result.error;
        ledger.submitted(result.job.jobId, result.job.number);
        alive.push(result.job.jobId);
      }
    }),
  );
  const canceller = untilCut(options, async (galley) => {
    const ids = alive.splice(Math.floor(random() * alive.length), CANCEL_JOBS);
    if (ids.length === 0) {
      // Any answer shows that something else may have been acknowledged meanwhile.
      await galley.getClusterStatus();
      return;
    }
    for (const jobId of ids) ledger.cancelling(jobId);
    for (const { jobId, outcome } of await galley.cancelJobs(ids, { reason: 'cancelled under load' })) {
      if (outcome !== 'ENDED') throw new Error(`cancelling ${jobId}, which no node could run, answered ${outcome}`);
      ledger.cancelled(jobId);
    }
  });
  await Promise.all([...singles, ...batches, canceller]);
}

/** One client that does the same again and again until its machine is gone. Rejects as `runLoad` does. */
export async function untilCut(
  { connect, cut }: ClientOptions,
  act: (galley: GalleyClient) => Promise<void>,
): Promise<void> {
  using galley = connect();
  try {
    for (;;) await act(galley);
  } catch (error) {
    if (cut.aborted && error instanceof GalleyError && GONE.has(error.code)) return;
    throw error;
  }
}

/** Every job has a command of its own, of a length of its own. */
function newRequest(random: Random): LedgerRequest {
  const jobId = randomUUID();
  const padding = 'x'.repeat(Math.floor(random() * LONGEST_PADDING));
  return { jobId, jobName: `cut-${jobId}`, command: ['true', jobId, padding] };
}
