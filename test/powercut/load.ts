import { randomBytes, randomUUID } from 'node:crypto';
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
const BULKY_JOBS = 10;
const LONGEST_BULK = 48 * 1024;

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
  /** Acknowledged and not cancelled yet. */
  const alive: string[] = [];
  await Promise.all([
    ...Array.from({ length: SINGLES }, () => submitSingles(options, alive)),
    submitBatches(options, { mode: 'each', jobs: EACH_JOBS, longestPadding: LONGEST_PADDING }, alive),
    submitBatches(options, { mode: 'atomic', jobs: ATOMIC_JOBS, longestPadding: LONGEST_PADDING }, alive),
    cancel(options, alive),
  ]);
}

/** Few and large jobs, so that LevelDB soon has tables to write and a log to begin anew. Ends as `runLoad` does. */
export async function runBulkyLoad(options: LoadOptions): Promise<void> {
  await Promise.all(
    (['each', 'atomic'] as const).map((mode) =>
      submitBatches(options, { mode, jobs: BULKY_JOBS, longestPadding: LONGEST_BULK }, []),
    ),
  );
}

async function submitSingles(options: LoadOptions, alive: string[]): Promise<void> {
  const { ledger, random } = options;
  await untilCut(options, async (galley) => {
    const request = newRequest(random, LONGEST_PADDING);
    ledger.submitting([request], false);
    const { number } = await galley.submitJob(request);
    ledger.submitted(request.jobId, number);
    alive.push(request.jobId);
  });
}

interface Batches {
  readonly mode: 'each' | 'atomic';
  /** In one call. */
  readonly jobs: number;
  readonly longestPadding: number;
}

async function submitBatches(options: LoadOptions, batches: Batches, alive: string[]): Promise<void> {
  const { ledger, random } = options;
  const { mode, jobs, longestPadding } = batches;
  await untilCut(options, async (galley) => {
    const requests = Array.from({ length: jobs }, () => newRequest(random, longestPadding));
    ledger.submitting(requests, mode === 'atomic');
    for (const result of await galley.submitJobs(requests, { mode })) {
      if (!result.ok) throw result.error;
      ledger.submitted(result.job.jobId, result.job.number);
      alive.push(result.job.jobId);
    }
  });
}

async function cancel(options: LoadOptions, alive: string[]): Promise<void> {
  const { ledger, random } = options;
  await untilCut(options, async (galley) => {
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

/** Every job has a command of its own, of a length of its own, which does not compress well. */
function newRequest(random: Random, longestPadding: number): LedgerRequest {
  const jobId = randomUUID();
  const padding = randomBytes(longestPadding / 2)
    .toString('hex')
    .slice(0, Math.floor(random() * longestPadding));
  return { jobId, jobName: `cut-${jobId}`, command: ['true', jobId, padding] };
}
