import { AttemptPhase, EndCause } from '@galley/proto';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { TestPlane } from '../agents/testing/plane.ts';
import { type Table, tableRange } from '../core/records/index.ts';
import { Retention } from './retention.ts';

const DAY_MS = 24 * 3600 * 1000;
const TIMES = { jobsMs: 7 * DAY_MS, historyMs: 730 * DAY_MS, logsMs: 30 * DAY_MS };

let test: TestPlane;
beforeEach(async () => {
  test = await TestPlane.start();
});
afterEach(() => test.close());

async function count(table: Table): Promise<number> {
  let entries = 0;
  for await (const page of test.turns.store.scan(tableRange('default', table))) entries += page.length;
  return entries;
}

const tables = async () => ({
  specs: await count('s'),
  ended: await count('x'),
  ids: await count('i'),
  history: await count('h'),
});

/** Runs so many jobs to their end. */
async function finish(jobs: number): Promise<void> {
  const agent = await test.join({ nodeName: `n${crypto.randomUUID()}` });
  for (let job = 0; job < jobs; job++) {
    const { id } = await test.submit();
    const { placements } = await agent.next('placements');
    const end = { cause: EndCause.EXITED, exitCode: 0, resourcesReleased: true };
    const placementSequence = placements[0]?.sequence ?? 0n;
    const report = {
      id: { jobId: id, childIndex: -1, attempt: 1 },
      phase: AttemptPhase.ENDED,
      placementSequence,
      ...end,
    };
    agent.send({ case: 'reports', value: { reports: [{ ...report, sequence: BigInt(job + 1) }] } });
    await agent.next('reportsAck');
  }
  agent.close();
}

const retentionAt = (wallMs: number) =>
  new Retention({ turns: test.turns, logs: test.logs, times: TIMES, wallMs: () => wallMs });

it('keeps what is young, and everything of jobs that are alive', async () => {
  await finish(5);
  await retentionAt(Date.now() + 6 * DAY_MS).round();
  expect(await tables()).toEqual({ specs: 5, ended: 5, ids: 5, history: 5 });
});

it('drops the detail of old jobs but not their accounting, and that in its own time', async () => {
  await finish(5);
  const { id } = await test.submit('alive', {
    requirements: { milliVcpu: 1_000_000, memoryBytes: 1, named: [], features: [] },
  });
  const retention = retentionAt(Date.now() + 8 * DAY_MS);
  await retention.round();
  expect(await tables()).toEqual({ specs: 1, ended: 0, ids: 0, history: 5 });
  expect(test.turns.view.job(id)).toBeDefined();
  await retentionAt(Date.now() + 731 * DAY_MS).round();
  expect(await tables()).toEqual({ specs: 1, ended: 0, ids: 0, history: 0 });
});

it('drops what an array kept of its children with it', async () => {
  const array = { size: 2_000, concurrency: 0, failFastAfter: 0, canary: 0, sequential: false };
  const { id } = await test.submit('array', { array });
  const end = { kind: 'cancelJobs', reason: 'r', mode: 'terminate', graceSeconds: undefined } as const;
  await test.turns.apply({ ...end, jobs: [{ jobId: id, child: 7 }] });
  await test.turns.apply({ ...end, jobs: [id] });
  expect(await count('c')).toBe(2);
  await retentionAt(Date.now() + 6 * DAY_MS).round();
  expect(await count('c')).toBe(2);
  await retentionAt(Date.now() + 8 * DAY_MS).round();
  expect([await count('c'), (await tables()).ended]).toEqual([0, 0]);
});

it('goes on where it stopped, also behind a job that is kept', async () => {
  const { id } = await test.submit('long', { hold: true });
  await finish(3);
  let now = Date.now() + 8 * DAY_MS;
  const retention = new Retention({ turns: test.turns, logs: test.logs, times: TIMES, wallMs: () => now });
  await retention.round();
  expect((await tables()).ended).toBe(0);
  await test.turns.apply({ kind: 'cancelJobs', jobs: [id], reason: 'r', mode: 'terminate', graceSeconds: undefined });
  await finish(2);
  now += 8 * DAY_MS;
  await retention.round();
  expect(await tables()).toMatchObject({ specs: 0, ended: 0, ids: 0 });
});
