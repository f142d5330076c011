import { readdirSync, rmSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { newestLog, overwrite } from '@galley/control-plane/store/testing.ts';
import type { GalleyClient, JobRequest } from '@galley/sdk';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { TestCluster } from '../harness/cluster.ts';
import { eventually } from '../harness/wait.ts';

// Processes start and are killed here, and the machine may be busy.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 60_000 });

// LevelDB damaged under a stopped control plane: LevelDB itself would open all of these without a word.

/** Each takes more than a block of LevelDB's log (32 KiB), so that damage to one leaves others readable. */
const PAYLOAD = 60_000;
const JOBS = 12;

let cluster: TestCluster;
let client: GalleyClient;

beforeEach(async () => {
  cluster = await TestCluster.start();
  client = cluster.client({ attempts: 3 });
});
afterEach(() => cluster.close());

const store = (): string => join(cluster.data, 'store');

async function runJobs(): Promise<string[]> {
  const request: JobRequest = {
    command: ['true'],
    environment: { PAYLOAD: 'x'.repeat(PAYLOAD) },
    resources: { vcpus: 0.1, memoryBytes: 16 * 1024 * 1024 },
  };
  const ids: string[] = [];
  for (let job = 0; job < JOBS; job++) ids.push((await client.submitJob(request)).jobId);
  for await (const job of client.watchJobs(ids)) expect(job.state).not.toBe('FAILED');
  return ids;
}

/** The end of the log is gone, as after a disk that lied about its syncs. */
describe('a store whose end is missing', () => {
  it('is seen to be behind what its agent was told, places nothing, and goes on when the operator accepts the loss', async () => {
    await runJobs();
    await cluster.server.end('SIGTERM');
    const log = await newestLog(store());
    truncateSync(log, Math.floor(statSync(log).size / 2));
    await cluster.startServer();
    const paused = await eventually('it is paused', async () => {
      const { stdout } = await cluster.galley(['status']);
      return /^Paused \(loss\): .*/m.exec(stdout)?.[0];
    });
    expect(paused).toMatch(/missing|behind|lost/);
    const refused = await cluster.galley(['submit', '--', 'true']);
    expect(refused).toMatchObject({ code: 125, stderr: expect.stringContaining('galley resume --accept-loss') });
    // Open at once, or as soon as its node has said what it holds.
    const resumed = await cluster.galley(['resume', '--accept-loss']);
    expect(resumed.stdout).toMatch(/^Scheduling is (open|still held back\n {2}waiting for nodes: node-1)\n$/);
    await eventually('it is open', async () => (await client.getClusterStatus()).awaitedNodes.length === 0);
    const { code } = await cluster.galley(['run', '--quiet', '--', 'true']);
    expect(code).toBe(0);
  });
});

describe('a store with a hole in the middle', () => {
  it('is not taken for whole, and takes nothing', async () => {
    await runJobs();
    await cluster.server.end('SIGTERM');
    const log = await newestLog(store());
    await overwrite(log, Math.floor(statSync(log).size / 2), 4096);
    await cluster.startServer();
    const { stdout } = await cluster.galley(['status']);
    expect(stdout).toMatch(
      /^Paused \(loss\): \d+ committed batches are missing from the store, the first at \d+\.\d+$/m,
    );
    const { code } = await cluster.galley(['submit', '--', 'true']);
    expect(code).toBe(125);
  });
});

describe('a store without its CURRENT file', () => {
  it('is not opened as a new, empty one', async () => {
    const ids = await runJobs();
    await cluster.server.end('SIGTERM');
    const before = readdirSync(join(store(), 'db')).toSorted();
    rmSync(join(store(), 'db', 'CURRENT'));
    const server = cluster.spawnServer();
    const { code } = await server.ended;
    expect(code).toBe(125);
    expect(server.said).toMatch(/galley: .*CURRENT is missing: .*MANIFEST.*backup/);
    expect(readdirSync(join(store(), 'db')).toSorted()).toEqual(before.filter((name) => name !== 'CURRENT'));
    expect(ids).toHaveLength(JOBS);
  });
});

describe('a data directory without its state', () => {
  it('is not taken for a new one', async () => {
    await cluster.server.end('SIGTERM');
    rmSync(store(), { recursive: true });
    const server = cluster.spawnServer();
    expect((await server.ended).code).toBe(125);
    expect(server.said).toMatch(/galley: .* has been used by a control plane, and its state in .* is missing/);
  });
});
