import { join } from 'node:path';
import { freezeMount } from '@galley/agent/runtimes/testing/frozen-mount.ts';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { TestCluster, wholeLogOf } from '../harness/cluster.ts';
import { eventually } from '../harness/wait.ts';

// Processes start and are killed here, and the machine may be busy.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 60_000 });

/** More than the threads that Node has for files: if each stuck job held one of them, everything would stand. */
const STUCK = 6;
const SMALL = { vcpus: 0.05, memoryBytes: 16 * 1024 * 1024, pids: 16 };

let cluster: TestCluster;

beforeEach(async () => {
  cluster = await TestCluster.start();
});
afterEach(() => cluster.close());

describe('a mount that does not answer', () => {
  it('under the paths of some jobs holds up those jobs and nothing else', async () => {
    const client = cluster.client();
    const mount = await freezeMount(join(cluster.place.base, 'mount'));
    // Root and /dev/fuse are what these tests run with; anything less must be seen.
    if (mount === undefined) throw new Error('a frozen mount cannot be made here: it takes root and /dev/fuse');
    try {
      const stuck: string[] = [];
      for (let job = 0; job < STUCK; job++) {
        const inDirectory = { command: ['true'], workingDirectory: mount.path };
        const asProgram = { command: [join(mount.path, 'program')] };
        const request = { ...(job % 2 === 0 ? inDirectory : asProgram), resources: SMALL };
        stuck.push((await client.submitJob(request)).jobId);
      }
      await eventually('they were placed', async () => {
        const jobs = await client.describeJobs(stuck);
        return jobs.every(({ summary }) => summary.state === 'STARTING' || summary.state === 'RUNNING');
      });
      const { lastSeenAtMs = 0 } = await client.getNode('node-1');

      for (let job = 0; job < 5; job++) {
        const other = await cluster.finish({ command: ['sh', '-c', 'echo goes on'], resources: SMALL }, 10_000);
        expect(other.summary.state).toBe('SUCCEEDED');
        expect(await wholeLogOf(client, other.summary.jobId)).toBe('goes on\n');
      }
      const node = await cluster.nodeIs('node-1', (now) => (now.lastSeenAtMs ?? 0) > lastSeenAtMs);
      expect(node).toMatchObject({ state: 'READY', connected: true });

      // They can be ended although nothing in them answers.
      await client.cancelJobs(stuck, { graceSeconds: 0, reason: 'stuck' });
      for (const jobId of stuck) {
        const { summary } = await client.waitForJob(jobId, { timeoutMs: 20_000 });
        expect(summary).toMatchObject({ state: 'FAILED', statusReason: 'stuck' });
      }
      expect((await client.getNode('node-1')).state).toBe('READY');
    } finally {
      await mount.thaw();
    }
  });
});
