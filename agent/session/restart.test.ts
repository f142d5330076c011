import { AttemptPhase, EndCause } from '@galley/proto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Harness, kill } from './testing/harness.ts';
import { keyOf, placementOf, shellPlacement } from './testing/placements.ts';

const JOBS = 20;

let harness: Harness;

beforeEach(async () => {
  harness = await Harness.create();
});

afterEach(async () => {
  await harness.close();
});

test('kill -9 of the agent while jobs run, and again: every exit code and every byte arrives', async () => {
  const { plane } = harness;
  const first = await harness.spawn();
  const jobs = Array.from({ length: JOBS }, (_, index) =>
    // Some end while no agent runs, some while the second one does, some while the third does.
    shellPlacement(`echo begin ${index}; sleep ${0.2 + (index % 4) * 0.7}; seq 1 2000; exit ${index}`),
  );
  plane.place(...jobs);
  await Promise.all(jobs.map((job) => plane.until('it has begun', () => plane.latest(keyOf(job)) !== undefined)));
  await plane.untilPhase(keyOf(jobs.at(-1) ?? placementOf([])), AttemptPhase.RUNNING);
  await kill(first);
  await new Promise((resolve) => setTimeout(resolve, 500));
  const second = await harness.spawn();
  await new Promise((resolve) => setTimeout(resolve, 300));
  await kill(second);
  await harness.spawn();
  for (const [index, job] of jobs.entries()) {
    const key = keyOf(job);
    const report = await plane.untilPhase(key, AttemptPhase.ENDED);
    // One whose supervisor had not begun when the agent was killed would be rejected, never run twice.
    expect(report).toMatchObject({ cause: EndCause.EXITED, exitCode: index });
    await plane.until('its log arrived', () => plane.log(key).length === Number(report.logLengths[0]));
    const lines = plane.log(key).bytes.toString().split('\n');
    expect(lines.slice(0, 2)).toEqual([`begin ${index}`, '1']);
    expect(lines.slice(-2)).toEqual(['2000', '']);
    expect(lines.length).toBe(2002);
  }
  const [one, ...others] = plane.hellos;
  for (const hello of others) expect(hello.incarnation).toBe(one?.incarnation);
});

test('kill -9 of both: what ended meanwhile is told when both are back', async () => {
  const { plane } = harness;
  const agent = await harness.spawn();
  const job = shellPlacement('sleep 0.3; echo bye; exit 6');
  plane.place(job);
  await plane.untilPhase(keyOf(job), AttemptPhase.RUNNING);
  const runningAtMs = performance.now();
  plane.stop();
  await kill(agent);
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  await plane.listen();
  await harness.spawn();
  const report = await plane.untilPhase(keyOf(job), AttemptPhase.ENDED);
  expect(report).toMatchObject({ exitCode: 6, logLengths: [4n] });
  // It ended when it ended, not when somebody came back to look.
  expect(Number(report.ageMs)).toBeGreaterThan((performance.now() - runningAtMs) / 2);
  await plane.until('its log arrived', () => plane.log(keyOf(job)).length === 4);
});

test('kill -9 right behind the placements: each runs once or is rejected, none is forgotten', async () => {
  const { plane } = harness;
  const agent = await harness.spawn();
  const jobs = Array.from({ length: JOBS }, () => shellPlacement('echo ran'));
  plane.place(...jobs);
  await plane.until('the first is accepted', () => plane.reports.length > 0);
  await kill(agent);
  await harness.spawn();
  // As a control plane does with what the agent never took.
  const { placementWatermark } = plane.hellos.at(-1) ?? { placementWatermark: 0n };
  plane.place(...jobs.filter(({ sequence }) => sequence > placementWatermark));
  for (const job of jobs) {
    const key = keyOf(job);
    await plane.until('it is over', () => (plane.latest(key)?.phase ?? 0) >= AttemptPhase.ENDED);
    const report = plane.latest(key);
    if (report?.phase === AttemptPhase.REJECTED) continue;
    expect(report).toMatchObject({ cause: EndCause.EXITED, exitCode: 0, logLengths: [4n] });
  }
});
