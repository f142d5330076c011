import type { GalleyClient } from '@galley/sdk';
import { countIn } from '@galley/sdk/state-counts.ts';
import type { Finding, Seen, SeenJob } from './judge.ts';
import type { Ledger } from './ledger.ts';

/** Acknowledged submits that are repeated after each power cut. */
const REPEATED_SUBMITS = 50;

/** Of commands in one answer, which shows each twice. */
const DESCRIBED_CHARACTERS = 1024 * 1024;

/** Everything that the judge wants to see. */
export async function look(galley: GalleyClient, ledger: Ledger): Promise<Seen> {
  const described: Seen['described'][number][] = [];
  for (const ids of slices(ledger)) {
    for (const { summary, task } of await galley.describeJobs(ids)) {
      described.push({ ...seenJob(summary), command: task?.command ?? [] });
    }
  }
  const listed: SeenJob[] = [];
  for await (const summary of galley.listJobs()) listed.push(seenJob(summary));
  const status = await galley.getClusterStatus();
  return {
    described,
    listed,
    pauses: status.pauses.map(({ cause }) => String(cause)),
    liveJobs: countIn(status.liveJobs),
  };
}

/** Ids of jobs that one call describes, by the size of their commands. */
function* slices(ledger: Ledger): Generator<string[]> {
  let ids: string[] = [];
  let characters = 0;
  for (const { request } of ledger.entries) {
    ids.push(request.jobId);
    characters += (request.command ?? []).join('').length;
    if (characters > DESCRIBED_CHARACTERS) {
      yield ids;
      ids = [];
      characters = 0;
    }
  }
  if (ids.length > 0) yield ids;
}

function seenJob({ jobId, number, jobName, state }: SeenJob): SeenJob {
  return { jobId, number, jobName, state };
}

/**
 * Asks again with the same ids, as every client does that got no answer: what was acknowledged has the same answer, and
 * what was not becomes a job, once. The ledger then knows all of them.
 */
export async function askAgain(galley: GalleyClient, ledger: Ledger): Promise<Finding[]> {
  const findings: Finding[] = [];
  const entries = [...ledger.entries];
  const known = entries.filter(({ number }) => number !== undefined).slice(-REPEATED_SUBMITS);
  for (const result of await galley.submitJobs(known.map(({ request }) => request))) {
    const jobId = result.ok ? result.job.jobId : result.jobId;
    const number = ledger.get(jobId)?.number;
    if (!result.ok) findings.push({ kind: 'lost', message: `${jobId}, asked again: ${result.error.message}` });
    else if (!result.job.existed) findings.push({ kind: 'lost', message: `${jobId}, asked again, was made anew` });
    else if (result.job.number !== number) {
      findings.push({ kind: 'changed', message: `${jobId}, asked again, is ${result.job.number} and was ${number}` });
    }
  }
  const unknown = entries.filter(({ number }) => number === undefined).map(({ request }) => request);
  for (const result of await galley.submitJobs(unknown)) {
    if (!result.ok) throw result.error;
    ledger.submitted(result.job.jobId, result.job.number);
  }
  return findings;
}
