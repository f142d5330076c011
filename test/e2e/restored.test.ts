import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { GalleyClient, JobRequest } from '@galley/sdk';
import type { ClusterStatus } from '@galley/sdk/types.ts';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { TestCluster } from '../harness/cluster.ts';
import { textOf } from '../harness/place.ts';
import { eventually } from '../harness/wait.ts';

// Processes start and are killed here, and the machine may be busy.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 60_000 });

const SMALL = { vcpus: 0.1, memoryBytes: 16 * 1024 * 1024, pids: 16 };

let cluster: TestCluster;
let client: GalleyClient;
let backup: string;

beforeEach(async () => {
  cluster = await TestCluster.start();
  client = cluster.client();
  backup = join(cluster.place.base, 'backup');
});
afterEach(() => cluster.close());

/** Notes each of its runs; runs until `go-<name>` is there, if it is to wait. */
function job(name: string, { waits = false, vcpus = SMALL.vcpus } = {}): JobRequest {
  const gate = waits ? 'until [ -e "$1/go-$2" ]; do sleep 0.1; done' : ':';
  const script = `echo "run $GALLEY_ATTEMPT" >>"$1/ran-$2"; ${gate}; echo done >>"$1/ran-$2"`;
  return {
    jobName: name,
    command: ['sh', '-c', script, 'sh', cluster.place.shared, name],
    resources: { ...SMALL, vcpus },
  };
}

const submit = async (request: JobRequest): Promise<string> => (await client.submitJob(request)).jobId;
const open = (name: string): void => writeFileSync(join(cluster.place.shared, `go-${name}`), '');
const ran = (name: string): string => textOf(join(cluster.place.shared, `ran-${name}`));
const runs = (name: string): Promise<true> => eventually(`${name} runs`, () => ran(name) !== '');
const stateOf = async (id: string): Promise<string> => (await client.getJob(id)).summary.state;

async function restore(): Promise<void> {
  await cluster.server.end('SIGKILL');
  const restored = await cluster.galley(['restore', backup]);
  expect(restored).toMatchObject({ code: 0, stdout: expect.stringContaining('it starts paused') });
  await cluster.startServer();
}

async function status(): Promise<ClusterStatus> {
  const { code, stdout } = await cluster.galley(['status', '--json']);
  expect(code).toBe(0);
  return JSON.parse(stdout) as ClusterStatus;
}

describe('an old backup restored', () => {
  it('under running jobs and after jobs have ended: nothing runs twice, nothing is stopped, the operator sees it', async () => {
    const { capacity } = await client.getNode('node-1');
    const most = (capacity?.milliVcpu ?? 0) / 1000 - 0.5;
    const ended = await submit(job('ended'));
    await client.waitForJob(ended);
    const longer = await submit(job('longer', { waits: true }));
    const blocker = await submit(job('blocker', { waits: true, vcpus: most }));
    // These two wait at the time of the backup: they do not fit beside the blocker.
    const later = await submit(job('later', { waits: true, vcpus: 0.6 }));
    const laterEnded = await submit(job('later-ended', { vcpus: 0.6 }));
    await runs('longer');
    await runs('blocker');
    expect(await stateOf(later)).toBe('RUNNABLE');
    const written = await cluster.galley(['backup', backup]);
    expect(written).toMatchObject({ code: 0, stdout: expect.stringMatching(/records, up to \d+\.\d+/) });

    open('blocker');
    for (const id of [blocker, laterEnded]) expect((await client.waitForJob(id)).summary.state).toBe('SUCCEEDED');
    await runs('later');
    const unknown = await submit(job('unknown', { waits: true }));
    const unknownEnded = await submit(job('unknown-ended'));
    await client.waitForJob(unknownEnded);
    await runs('unknown');

    await restore();
    let now: ClusterStatus | undefined;
    const said = () => `the node has said what it knows, not ${JSON.stringify(now)}`;
    const found = await eventually(said, async () => {
      now = await status();
      return now.awaitedNodes.length === 0 && now.orphans.length > 0 ? now : undefined;
    });
    expect(found.pauses).toMatchObject([{ cause: 'RESTORED' }]);
    // Two that it thought to be waiting, and one that it thought to be running.
    expect(found.adoptedAttempts).toBeGreaterThanOrEqual(2);
    const orphans = found.orphans.map(({ node, orphan }) => [node, orphan?.jobId, orphan?.jobName, orphan?.running]);
    expect(new Set(orphans)).toEqual(
      new Set([
        ['node-1', unknown, 'unknown', true],
        ['node-1', unknownEnded, 'unknown-ended', false],
      ]),
    );
    const { stdout: shown } = await cluster.galley(['status']);
    expect(shown).toMatch(/^Paused \(restored\): /m);
    expect(shown).toMatch(/^Orphan on node-1: unknown .* running$/m);

    // Nothing is placed until the operator says so, and the job says why.
    const fresh = await submit(job('fresh'));
    expect((await client.getJob(fresh)).pendingReason).toMatch(/paused/);
    expect(ran('fresh')).toBe('');
    expect(await cluster.galley(['resume'])).toMatchObject({ code: 0, stdout: 'Scheduling is open\n' });

    expect((await client.waitForJob(fresh)).summary.state).toBe('SUCCEEDED');
    for (const id of [ended, blocker, laterEnded]) {
      expect((await client.getJob(id)).summary).toMatchObject({ state: 'SUCCEEDED', attempts: 1 });
    }
    for (const id of [longer, later]) expect(await stateOf(id)).toBe('RUNNING');
    for (const name of ['longer', 'later', 'unknown']) open(name);
    for (const id of [longer, later]) expect((await client.waitForJob(id)).summary.state).toBe('SUCCEEDED');
    await eventually('the orphan runs to its own end, and is shown as over', async () => {
      const found = (await status()).orphans.find(({ orphan }) => orphan?.jobId === unknown);
      return ran('unknown') === 'run 1\ndone\n' && found?.orphan?.running === false;
    });
    const names = ['ended', 'longer', 'blocker', 'later', 'later-ended', 'unknown', 'unknown-ended', 'fresh'];
    for (const name of names) expect([name, ran(name)]).toEqual([name, 'run 1\ndone\n']);
  });

  it('waits for a node that is away before it places anything, or for the operator’s word', async () => {
    await client.waitForJob(await submit(job('before')));
    expect((await cluster.galley(['backup', backup])).code).toBe(0);
    const after = await submit(job('after', { waits: true }));
    await runs('after');
    await cluster.agent().end('SIGKILL');
    await restore();
    expect((await status()).awaitedNodes).toEqual(['node-1']);
    const resumed = await cluster.galley(['resume']);
    expect(resumed).toMatchObject({ code: 125, stdout: expect.stringContaining('waiting for nodes: node-1') });
    await cluster.startAgent('node-2');
    const fresh = await submit(job('fresh'));
    expect((await client.getJob(fresh)).pendingReason).toMatch(/1 nodes? ha(s|ve) not reported/);
    expect(await stateOf(fresh)).toBe('RUNNABLE');
    const waived = await cluster.galley(['resume', '--waive-missing-nodes']);
    expect(waived).toMatchObject({ code: 0, stdout: 'Scheduling is open\n' });
    expect((await client.waitForJob(fresh)).summary).toMatchObject({ state: 'SUCCEEDED', node: 'node-2' });
    // The node that was waived comes back: what runs there runs on, and is shown.
    await cluster.startAgent('node-1');
    await eventually('the orphan is shown', async () => (await status()).orphans[0]?.orphan?.jobId === after);
    open('after');
    await eventually('it runs to its own end', () => ran('after') === 'run 1\ndone\n');
  });

  it('is refused while the control plane runs, and what is no backup is refused whole', async () => {
    const running = await cluster.galley(['restore', backup]);
    expect(running).toMatchObject({
      code: 125,
      stderr: expect.stringMatching(/^galley: a control plane runs on .*stop it first/),
    });
    await cluster.server.end('SIGKILL');
    writeFileSync(backup, 'this is no backup');
    const wrong = await cluster.galley(['restore', backup]);
    expect(wrong.code).toBe(125);
    expect(wrong.stderr).toMatch(/^galley: [^\n]*backup[^\n]*\n$/);
    expect(existsSync(join(cluster.data, 'store'))).toBe(true);
    await cluster.startServer();
    expect((await status()).pauses).toEqual([]);
  });
});
