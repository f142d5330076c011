import { readdirSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AttemptPhase, EndCause, LogStream } from '@galley/proto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Harness, kill } from '../session/testing/harness.ts';
import { keyOf, shellPlacement } from '../session/testing/placements.ts';
import { FLOOD_REASON, LOG_POLICY } from './policy.ts';

const KIB = 1024;
/** Small enough for a test, with the shape of the real one. */
const SMALL = {
  ...LOG_POLICY,
  headBytes: 256 * KIB,
  tailBytes: 256 * KIB,
  punchBytes: 128 * KIB,
  burstBytes: 256 * KIB,
};

let harness: Harness;

beforeEach(async () => {
  harness = await Harness.create();
});

afterEach(async () => {
  await harness.close();
});

async function logArrived(key: string, stream: LogStream = LogStream.OUTPUT): Promise<void> {
  const { plane } = harness;
  const report = await plane.untilPhase(key, AttemptPhase.ENDED);
  const length = Number(report.logLengths[stream - LogStream.OUTPUT]);
  await plane.until(`the ${length} bytes of stream ${stream} arrived`, () => plane.log(key, stream).length === length);
}

test('output arrives while the job runs, also after a long silence', async () => {
  const { plane } = harness;
  await harness.connect();
  const job = shellPlacement('echo first; sleep 2; echo second; sleep 60');
  plane.place(job);
  await plane.until('the first line arrived', () => plane.log(keyOf(job)).bytes.toString() === 'first\n');
  await plane.until('the second line arrived', () => plane.log(keyOf(job)).bytes.toString() === 'first\nsecond\n');
  expect(plane.latest(keyOf(job))?.phase).toBe(AttemptPhase.RUNNING);
});

test('two streams on request', async () => {
  const { plane } = harness;
  await harness.connect();
  const job = shellPlacement('echo out; echo err >&2; echo more', { task: { separateStreams: true } });
  plane.place(job);
  const report = await plane.untilPhase(keyOf(job), AttemptPhase.ENDED);
  expect(report.logLengths).toEqual([0n, 9n, 4n]);
  await logArrived(keyOf(job), LogStream.STDOUT);
  await logArrived(keyOf(job), LogStream.STDERR);
  expect(plane.log(keyOf(job), LogStream.STDOUT).bytes.toString()).toBe('out\nmore\n');
  expect(plane.log(keyOf(job), LogStream.STDERR).bytes.toString()).toBe('err\n');
});

test('every chunk has the time at which it was seen', async () => {
  const { plane } = harness;
  const before = Date.now();
  await harness.connect();
  const job = shellPlacement('echo now');
  plane.place(job);
  await logArrived(keyOf(job));
  const seen = Number(plane.logMessages[0]?.chunks[0]?.chunk?.observedAtMs);
  expect(seen).toBeGreaterThanOrEqual(before);
  expect(seen).toBeLessThanOrEqual(Date.now());
});

describe('trouble on the way', () => {
  test('a store that is full for now gets everything later', async () => {
    const { plane } = harness;
    plane.script.logs = { retryAfterMs: 300 };
    await harness.connect();
    const job = shellPlacement('seq 1 5000');
    plane.place(job);
    await logArrived(keyOf(job));
    expect(plane.log(keyOf(job)).gaps).toEqual([]);
    expect(plane.logMessages[0]?.sequence).toBe(1n);
  });

  test('bytes whose acks were lost are sent again, by this agent and by the next', async () => {
    const { plane } = harness;
    plane.script.logs = 'silent';
    const agent = await harness.spawn();
    const job = shellPlacement('seq 1 5000');
    plane.place(job);
    await plane.untilPhase(keyOf(job), AttemptPhase.ENDED);
    await plane.until('bytes were sent', () => plane.logMessages.length > 0);
    await kill(agent);
    plane.script.logs = 'ack';
    await harness.spawn();
    await logArrived(keyOf(job));
    const lines = plane.log(keyOf(job)).bytes.toString().split('\n');
    expect(lines.length).toBe(5001);
  });

  test('a store that lost its tail gets it again', async () => {
    const { plane } = harness;
    await harness.connect();
    const job = shellPlacement(`seq 1 1000; sleep 0.7; seq 1001 2000`);
    plane.place(job);
    await plane.until('the first part arrived', () => plane.log(keyOf(job)).length > 3_000);
    plane.loseLog(keyOf(job), 1_000);
    await logArrived(keyOf(job));
    expect(plane.log(keyOf(job)).bytes.toString().split('\n').at(-2)).toBe('2000');
    expect(plane.log(keyOf(job)).bytes.toString().split('\n').length).toBe(2001);
  });
});

describe('a flood', () => {
  test('keeps its beginning and its end, says what is missing, and gives the disk back', async () => {
    const { plane } = harness;
    await harness.connect({ logPolicy: SMALL });
    const mebibytes = 8;
    const job = shellPlacement(
      `echo BEGIN; i=0; while [ $i -lt ${mebibytes} ]; do yes x | head -c 1048576; i=$((i+1)); sleep 0.1; done; echo END`,
    );
    plane.place(job);
    const calm = shellPlacement('echo calm');
    plane.place(calm);
    await logArrived(keyOf(calm));
    await logArrived(keyOf(job));
    const log = plane.log(keyOf(job));
    expect(log.length).toBe(mebibytes * 1024 * KIB + 10);
    expect(log.bytes.subarray(0, 6).toString()).toBe('BEGIN\n');
    expect(log.bytes.subarray(-4).toString()).toBe('END\n');
    expect(log.bytes.includes(0)).toBe(false);
    expect(log.gaps.length).toBeGreaterThan(0);
    for (const gap of log.gaps) expect(gap.reason).toBe(FLOOD_REASON);
    const missing = log.gaps.reduce((sum, gap) => sum + gap.length, 0);
    expect(missing + log.bytes.length).toBe(log.length);
    expect(missing).toBeGreaterThan(mebibytes * 512 * KIB);
    const { blocks } = await stat(join(harness.options.dataDir, 'attempts', keyOf(job), 'output'));
    expect(blocks * 512).toBeLessThan(mebibytes * 512 * KIB);
  });

  test('when the disk is nearly full the job that floods it is stopped with that reason', async () => {
    const { plane } = harness;
    const floor = { floorBytes: Number.MAX_SAFE_INTEGER, floorShare: 2, floodBytes: 64 * KIB };
    await harness.connect({ logPolicy: { ...LOG_POLICY, ...floor } });
    const flood = shellPlacement('head -c 300000 /dev/zero; sleep 60');
    const quiet = shellPlacement('echo quiet; sleep 60');
    plane.place(flood, quiet);
    const report = await plane.untilPhase(keyOf(flood), AttemptPhase.ENDED);
    expect(report.cause).toBe(EndCause.DISK_FULL);
    expect(report.reason).toContain('Disk full');
    expect(plane.latest(keyOf(quiet))?.phase).toBe(AttemptPhase.RUNNING);
  });
});

test('what the control plane has leaves the node when its time is over', async () => {
  const { plane } = harness;
  const attempts = join(harness.options.dataDir, 'attempts');
  const first = await harness.connect();
  const job = shellPlacement('echo gone');
  plane.place(job);
  await logArrived(keyOf(job));
  expect(await readdir(attempts)).toEqual([keyOf(job)]);
  await first.close();
  await harness.connect({ logPolicy: { ...LOG_POLICY, retentionMs: 0 } });
  await plane.until('its directory is gone', () => readdirSync(attempts).length === 0);
});
