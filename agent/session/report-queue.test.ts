import { create } from '@bufbuild/protobuf';
import { AttemptPhase, type AttemptReport, AttemptReportSchema } from '@galley/proto';
import { expect, test } from 'vitest';
import { Backoff } from './backoff.ts';
import { MAX_REPORTS_A_MESSAGE, ReportQueue } from './report-queue.ts';

function report(phase: AttemptPhase, placementSequence = 1n): AttemptReport {
  return create(AttemptReportSchema, { phase, placementSequence, resourcesReleased: true });
}

test('an attempt that changes often is reported once, as it is then', () => {
  const queue = new ReportQueue();
  for (let change = 0; change < 10; change++) queue.add('a');
  expect(queue.take(() => report(AttemptPhase.RUNNING)).map(({ sequence }) => sequence)).toEqual([1n]);
  expect(queue.size).toBe(0);
});

test('what nobody waits for goes with the next ripening, or with what somebody waits for', () => {
  const queue = new ReportQueue();
  const take = () => queue.take(() => report(AttemptPhase.RUNNING)).length;
  queue.addLater('a');
  queue.addLater('b');
  expect(queue.size).toBe(0);
  queue.add('a');
  expect(take()).toBe(1);
  queue.ripen();
  expect(take()).toBe(1);
  queue.ripen();
  expect(queue.size).toBe(0);
});

test('sequences rise over messages, and a message is bounded', () => {
  const queue = new ReportQueue();
  for (let index = 0; index < MAX_REPORTS_A_MESSAGE + 5; index++) queue.add(`${index}`);
  const take = () => queue.take(() => report(AttemptPhase.ACCEPTED));
  expect(take().length).toBe(MAX_REPORTS_A_MESSAGE);
  expect(take().at(-1)?.sequence).toBe(BigInt(MAX_REPORTS_A_MESSAGE + 5));
});

test('an ack covers the ends up to it, and those only', () => {
  const queue = new ReportQueue();
  for (const key of ['a', 'b', 'c']) queue.add(key);
  const phases: Record<string, AttemptPhase> = {
    a: AttemptPhase.ENDED,
    b: AttemptPhase.RUNNING,
    c: AttemptPhase.REJECTED,
  };
  queue.take((key) => report(phases[key] ?? AttemptPhase.ACCEPTED, 7n));
  expect(queue.acked(2n)).toMatchObject([{ key: 'a', placementSequence: 7n, released: true }]);
  expect(queue.acked(3n)).toMatchObject([{ key: 'c' }]);
  expect(queue.acked(9n)).toEqual([]);
});

test('an ack of an earlier connection is nobody’s', () => {
  const queue = new ReportQueue();
  queue.add('a');
  queue.take(() => report(AttemptPhase.ENDED));
  queue.connected(['a']);
  expect(queue.acked(1n)).toEqual([]);
  expect(queue.take(() => report(AttemptPhase.ENDED))[0]?.sequence).toBe(2n);
});

test('backing off doubles, is jittered, and stays near ten seconds', () => {
  const low = new Backoff(() => 0);
  const high = new Backoff(() => 1);
  const steps = Array.from({ length: 12 }, () => [low.next(), high.next()]);
  expect(steps[0]).toEqual([100, 200]);
  expect(steps[1]).toEqual([200, 400]);
  expect(steps.at(-1)).toEqual([5_000, 10_000]);
  low.reset();
  expect(low.next()).toBe(100);
});
