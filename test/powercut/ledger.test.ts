import { expect, it } from 'vitest';
import { Ledger } from './ledger.ts';

it('tells of an acknowledgement in the moment in which it is written down, once', () => {
  const ledger = new Ledger();
  const jobIds = ['a', 'b', 'c', 'd'];
  ledger.submitting(
    jobIds.map((jobId) => ({ jobId, jobName: jobId })),
    false,
  );
  ledger.submitted('a', 1);
  const reachedAt: number[] = [];
  ledger.afterAcknowledgements(2, () => reachedAt.push(ledger.acknowledged));
  ledger.submitted('b', 2);
  expect(reachedAt).toEqual([]);
  ledger.cancelling('a');
  ledger.cancelled('a');
  expect(reachedAt).toEqual([3]);
  ledger.submitted('c', 3);
  expect(reachedAt).toEqual([3]);
});
