import type { Ledger, LedgerEntry } from './ledger.ts';

/** A job as the control plane shows it after the power came back. */
export interface SeenJob {
  readonly jobId: string;
  readonly number: number;
  readonly jobName: string;
  readonly state: string;
}

/** All that the judge looks at beside the ledger. */
export interface Seen {
  /** Jobs of the ledger, asked for by id, with their commands. */
  readonly described: readonly (SeenJob & { readonly command: readonly string[] })[];
  /** Every job, as the list of all shows it. */
  readonly listed: readonly SeenJob[];
  /** Causes that hold scheduling back. */
  readonly pauses: readonly string[];
  /** How many jobs the control plane counts as not ended. */
  readonly liveJobs: number;
}

export type FindingKind =
  /** An acknowledged job is not there. */
  | 'lost'
  /** It is there with another number, name or command than was acknowledged. */
  | 'changed'
  /** An acknowledged cancel does not hold, or nobody asked for the end that a job has. */
  | 'cancel'
  /** Of an atomic submit, some jobs are there and some are not. */
  | 'torn'
  /** Two jobs have, or were acknowledged with, one number. */
  | 'number'
  /** A job that nobody submitted. */
  | 'stranger'
  /** List, description and count do not agree. */
  | 'disagreement'
  /** The control plane itself says that committed work is missing. */
  | 'loss-noticed';

export interface Finding {
  readonly kind: FindingKind;
  /** A sentence that names the job. */
  readonly message: string;
}

const ENDED: ReadonlySet<string> = new Set(['SUCCEEDED', 'FAILED']);

/** Compares what clients were told with what is there; no findings means that every promise was kept. */
export function judge(ledger: Ledger, seen: Seen): Finding[] {
  const described = new Map(seen.described.map((job) => [job.jobId, job]));
  const present = (entry: LedgerEntry) => described.has(entry.request.jobId);
  return [
    ...[...ledger.entries].flatMap((entry) => judgeJob(entry, described.get(entry.request.jobId))),
    ...judgeGroups(ledger, present),
    ...judgeNumbers(ledger, seen),
    ...judgeList(ledger, seen),
    ...seen.pauses
      .filter((cause) => cause === 'LOSS')
      .map((cause): Finding => ({ kind: 'loss-noticed', message: `scheduling is paused: ${cause}` })),
  ];
}

function judgeJob(entry: LedgerEntry, job: Seen['described'][number] | undefined): Finding[] {
  const { request, number, cancel } = entry;
  const { jobId } = request;
  if (job === undefined) {
    return number === undefined
      ? []
      : [{ kind: 'lost', message: `${jobId} was acknowledged as ${number} and is gone` }];
  }
  const findings: Finding[] = [];
  if (number !== undefined && job.number !== number) {
    findings.push({ kind: 'changed', message: `${jobId} was acknowledged as ${number} and is ${job.number}` });
  }
  if (job.jobName !== request.jobName || job.command.join('\0') !== (request.command ?? []).join('\0')) {
    findings.push({ kind: 'changed', message: `${jobId} has another name or command than was submitted` });
  }
  const ended = ENDED.has(job.state);
  if (cancel === 'acknowledged' && job.state !== 'FAILED') {
    findings.push({ kind: 'cancel', message: `${jobId} was cancelled, acknowledged, and is ${job.state}` });
  } else if (cancel === 'none' && ended) {
    findings.push({
      kind: 'cancel',
      message: `${jobId} is ${job.state}, although nobody cancelled it and nothing ran it`,
    });
  }
  return findings;
}

function judgeGroups(ledger: Ledger, present: (entry: LedgerEntry) => boolean): Finding[] {
  const groups = Map.groupBy(ledger.entries, (entry) => entry.group);
  groups.delete(undefined);
  return [...groups].flatMap(([group, entries]): Finding[] => {
    const there = entries.filter(present).length;
    if (there === 0 || there === entries.length) return [];
    return [{ kind: 'torn', message: `of the ${entries.length} jobs of atomic submit ${group}, ${there} are there` }];
  });
}

function judgeNumbers(ledger: Ledger, seen: Seen): Finding[] {
  const holders = new Map<number, string>();
  const findings: Finding[] = [];
  const hold = (number: number, jobId: string) => {
    const holder = holders.get(number) ?? jobId;
    holders.set(number, holder);
    if (holder !== jobId)
      findings.push({ kind: 'number', message: `${number} is the number of ${holder} and ${jobId}` });
  };
  for (const { number, request } of ledger.entries) if (number !== undefined) hold(number, request.jobId);
  for (const { number, jobId } of seen.listed) hold(number, jobId);
  return findings;
}

function judgeList(ledger: Ledger, seen: Seen): Finding[] {
  const findings: Finding[] = [];
  const disagree = (message: string) => findings.push({ kind: 'disagreement', message });
  const listed = new Map<string, SeenJob>();
  for (const job of seen.listed) {
    if (listed.has(job.jobId)) disagree(`${job.jobId} is listed twice`);
    listed.set(job.jobId, job);
    if (ledger.get(job.jobId) === undefined) {
      findings.push({ kind: 'stranger', message: `${job.jobId} (${job.jobName}) is there, and nobody submitted it` });
    }
  }
  for (const { jobId, number, state } of seen.described) {
    const row = listed.get(jobId);
    if (row === undefined) disagree(`${jobId} can be described and is not listed`);
    else if (row.number !== number || row.state !== state) {
      disagree(`${jobId} is ${number} ${state} when described and ${row.number} ${row.state} in the list`);
    }
  }
  if (seen.described.length < seen.listed.length) {
    disagree(`${seen.listed.length} jobs are listed, ${seen.described.length} can be described`);
  }
  const live = [...listed.values()].filter(({ state }) => !ENDED.has(state)).length;
  if (live !== seen.liveJobs) disagree(`${live} jobs are listed as not ended, ${seen.liveJobs} are counted`);
  return findings;
}
