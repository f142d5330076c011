import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fillDisk, smallDisk } from '@galley/control-plane/store/testing.ts';
import type { JobRequest } from '@galley/sdk';
import { describe, expect, it, vi } from 'vitest';
import { TestCluster, wholeLogOf } from '../harness/cluster.ts';
import { eventually } from '../harness/wait.ts';

// Processes start and are killed here, and the machine may be busy.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 60_000 });

/** Room for the ballast of a store with shipped defaults (72 MiB) and some state. */
const DISK_MEGABYTES = 160;
const JOBS = 30;

describe('a full disk under the control plane', () => {
  it('loses no acknowledged job, says so to whoever asks, and goes on when there is room again', async () => {
    await using disk = await smallDisk(DISK_MEGABYTES);
    const cluster = await TestCluster.start({
      data: join(disk.path, 'data'),
      serverWords: ['--allow-memory-file-system'],
    });
    try {
      const client = cluster.client({ attempts: 1 });
      const request: JobRequest = {
        command: ['sh', '-c', 'echo "$GALLEY_JOB_ID"'],
        // So that an acknowledged job takes room.
        environment: { FILLING: 'x'.repeat(20_000) },
        resources: { vcpus: 0.1, memoryBytes: 16 * 1024 * 1024 },
      };
      await client.pauseScheduling('until the disk is full');
      const acknowledged: string[] = [];
      for (let job = 0; job < JOBS; job++) acknowledged.push((await client.submitJob(request)).jobId);
      await fillDisk(join(disk.path, 'filler'));

      const refusal = await eventually('a submit is refused', async () => {
        try {
          acknowledged.push((await client.submitJob(request, { timeoutMs: 5_000 })).jobId);
          return undefined;
        } catch (error) {
          return error;
        }
      });
      expect(refusal).toMatchObject({ code: expect.stringMatching(/^(UNAVAILABLE|OUTCOME_UNKNOWN)$/) });
      // What it says after the first one, to which the disk's fullness was news.
      await expect(
        eventually('a refusal that names the disk', async () => {
          const error = await client.submitJob(request, { timeoutMs: 5_000 }).catch((thrown: unknown) => thrown);
          return error instanceof Error && /disk .* is full/.test(error.message);
        }),
      ).resolves.toBe(true);
      expect(cluster.server.running).toBe(true);

      await rm(join(disk.path, 'filler'));
      const after = await eventually('it takes jobs again', async () => {
        try {
          return (await client.submitJob(request)).jobId;
        } catch {
          return undefined;
        }
      });
      acknowledged.push(after);
      await cluster.server.end('SIGKILL');
      await cluster.startServer();
      await client.resumeScheduling();
      const patient = cluster.client();
      for await (const job of patient.watchJobs(acknowledged, { signal: AbortSignal.timeout(30_000) })) {
        expect(job.state).not.toBe('FAILED');
      }
      for (const jobId of acknowledged) expect(await wholeLogOf(patient, jobId)).toBe(`${jobId}\n`);
    } finally {
      await cluster.close();
    }
  });
});
