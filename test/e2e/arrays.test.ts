import { join } from 'node:path';
import type { GalleyClient } from '@galley/sdk';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { TestCluster, wholeLogOf } from '../harness/cluster.ts';
import { textOf } from '../harness/place.ts';
import { eventually } from '../harness/wait.ts';

// Real children of real arrays, on a real node. The machine may be busy.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 60_000 });

const SMALL = { vcpus: 0.05, memoryBytes: 16 * 1024 * 1024, pids: 16 };

let cluster: TestCluster;
let client: GalleyClient;

beforeEach(async () => {
  cluster = await TestCluster.start();
  client = cluster.client();
});
afterEach(() => cluster.close());

it('children learn who they are, have logs and ends of their own, and those that failed are run again', async () => {
  const script =
    'echo "$AWS_BATCH_JOB_ID $AWS_BATCH_JOB_ARRAY_INDEX $GALLEY_ARRAY_INDEX"; test "$GALLEY_ARRAY_INDEX" != 12';
  const array = { indices: '10-14:2' };
  const { jobId, number } = await client.submitJob({ command: ['sh', '-c', script], resources: SMALL, array });
  const over = await client.waitForJob(jobId, { timeoutMs: 60_000 });
  expect(over.summary).toMatchObject({ state: 'FAILED', statusReason: 'Array Child Job failed' });
  expect(over.summary.array?.statusSummary).toMatchObject({ succeeded: 2, failed: 1 });
  expect(await wholeLogOf(client, `${jobId}:2`)).toBe(`${jobId}:2 2 14\n`);
  expect((await client.getJob(`${number}:1`)).summary).toMatchObject({ state: 'FAILED', exitCode: 1, givenIndex: 12 });

  const { code, stdout } = await cluster.galley(['rerun', `${number}`]);
  expect(code).toBe(0);
  const again = Number(/^Job (\d+) /.exec(stdout)?.[1]);
  expect((await client.waitForJob(again, { timeoutMs: 60_000 })).request?.array?.indices).toBe('12');
  const { stdout: children } = await cluster.galley(['jobs', '--children', `${again}`]);
  expect(children).toMatch(new RegExp(`^ *${again}:0 `, 'm'));
  expect((await cluster.galley(['logs', `${again}:0`])).stdout).toMatch(/:0 0 12\n$/);
});

it('a control plane killed with -9 in the middle of an array loses no child and runs none twice', async () => {
  const children = 30;
  const { shared } = cluster.place;
  const script = 'echo ran >>"$1/ran-$GALLEY_ARRAY_INDEX"; sleep 0.2';
  const { jobId } = await client.submitJob({
    command: ['sh', '-c', script, 'sh', shared],
    resources: SMALL,
    array: { size: children, concurrency: 6 },
  });
  for (const over of [3, 12]) {
    await eventually(`${over} children are over`, async () => {
      const counts = (await client.getJob(jobId)).summary.array?.statusSummary;
      return (counts?.succeeded ?? 0) >= over;
    });
    await cluster.server.end('SIGKILL');
    await cluster.startServer();
  }
  const job = await client.waitForJob(jobId, { timeoutMs: 60_000 });
  expect(job.summary).toMatchObject({
    state: 'SUCCEEDED',
    array: { statusSummary: { succeeded: children, failed: 0 } },
  });
  const runs = Array.from({ length: children }, (_, child) => textOf(join(shared, `ran-${child}`)));
  expect(runs).toEqual(Array.from({ length: children }, () => 'ran\n'));
});
