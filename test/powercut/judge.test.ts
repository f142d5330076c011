import { describe, expect, it } from 'vitest';
import { judge, type Seen } from './judge.ts';
import { Ledger } from './ledger.ts';

const PAIR = ['p', 'q'];

/** Jobs a (1), b (2, cancelled) and the atomic pair p (3), q (4); x was submitted and never answered. */
function ledgerOfFive(): Ledger {
  const ledger = new Ledger();
  const request = (jobId: string) => ({ jobId, jobName: `name-${jobId}`, command: ['true', jobId] });
  for (const jobId of ['a', 'b', 'x']) ledger.submitting([request(jobId)], false);
  ledger.submitting(PAIR.map(request), true);
  ['a', 'b', ...PAIR].forEach((jobId, index) => {
    ledger.submitted(jobId, index + 1);
  });
  ledger.cancelling('b');
  ledger.cancelled('b');
  return ledger;
}

type Described = Seen['described'][number];

function whole(jobId: string, number: number, state = 'RUNNABLE'): Described {
  return { jobId, number, jobName: `name-${jobId}`, state, command: ['true', jobId] };
}

const ALL = [whole('a', 1), whole('b', 2, 'FAILED'), whole('p', 3), whole('q', 4)];

function seen(described: readonly Described[], other: Partial<Seen> = {}): Seen {
  const liveJobs = described.filter(({ state }) => state === 'RUNNABLE').length;
  return { described, listed: described, pauses: [], liveJobs, ...other };
}

function without(jobId: string): Described[] {
  return ALL.filter((job) => job.jobId !== jobId);
}

function kinds(what: Seen): string[] {
  return judge(ledgerOfFive(), what).map(({ kind }) => kind);
}

describe('judge', () => {
  it('has nothing to say when every promise was kept, whether the unanswered job is there or not', () => {
    expect(kinds(seen(ALL))).toEqual([]);
    expect(kinds(seen([...ALL, whole('x', 5)]))).toEqual([]);
    expect(kinds(seen(ALL, { pauses: ['OPERATOR'] }))).toEqual([]);
  });

  it.each([
    ['an acknowledged job that is gone', seen(without('a')), ['lost']],
    ['another number', seen([...without('a'), whole('a', 9)]), ['changed']],
    ['another command', seen([...without('a'), { ...whole('a', 1), command: ['false'] }]), ['changed']],
    ['another name', seen([...without('a'), { ...whole('a', 1), jobName: 'other' }]), ['changed']],
    ['a cancel that does not hold', seen([...without('b'), whole('b', 2)]), ['cancel']],
    ['an end that nobody asked for', seen([...without('a'), whole('a', 1, 'FAILED')]), ['cancel']],
    ['half of an atomic submit', seen(without('p')), ['lost', 'torn']],
    ['a number used for two jobs', seen([...ALL, whole('x', 1)]), ['number']],
    [
      'a job that nobody submitted',
      seen(ALL, { listed: [...ALL, whole('z', 7)], liveJobs: 4 }),
      ['stranger', 'disagreement'],
    ],
    ['a job that is not listed', seen(ALL, { listed: without('a'), liveJobs: 2 }), ['disagreement']],
    ['a job that is listed twice', seen(ALL, { listed: [...ALL, whole('a', 1)] }), ['disagreement', 'disagreement']],
    [
      'a list with another state',
      seen(ALL, { listed: [...without('a'), whole('a', 1, 'FAILED')], liveJobs: 2 }),
      ['disagreement'],
    ],
    ['a count that is wrong', seen(ALL, { liveJobs: 4 }), ['disagreement']],
    ['a loss that the control plane noticed', seen(ALL, { pauses: ['LOSS'] }), ['loss-noticed']],
  ])('finds %s', (_, what, expected) => {
    expect(kinds(what)).toEqual(expected);
  });

  it('finds a number that was acknowledged twice, although one of the jobs is gone', () => {
    const ledger = ledgerOfFive();
    ledger.submitted('x', 1);
    expect(judge(ledger, seen(ALL)).map(({ kind }) => kind)).toEqual(['lost', 'number']);
  });
});
