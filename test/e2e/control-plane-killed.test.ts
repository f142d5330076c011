import { randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type GalleyClient, GalleyError, type JobRequest } from '@galley/sdk';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { READY, TestCluster, wholeLogOf } from '../harness/cluster.ts';
import { textOf } from '../harness/place.ts';
import { type Random, seededRandom } from '../harness/random.ts';
import { eventually } from '../harness/wait.ts';

// Processes start and are killed here, and the machine may be busy.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 60_000 });

const KILLS = 50;
/** Every other kill comes so long after the process was started, at most: mostly while it opens the store. */
const LONGEST_START_MS = 1_000;
/** The others come after it has acknowledged so many submits, at most, and a moment more. */
const MOST_ACKS = 12;
const LONGEST_MOMENT_MS = 100;
const BATCH = 10;
const SINGLE_PAUSE_MS = 120;
const BATCH_PAUSE_MS = 900;
const LINES = 25;
/** A caller gives up after so many failures of one submit, to leave jobs about whose fate nobody was told. */
const IMPATIENT_TRIES = 1;

type Fate = 'acknowledged' | 'unknown';

/** Submits until it is told to stop, and keeps the ledger of what it was told. */
class Submitter {
  readonly ledger = new Map<string, Fate>();
  /** Calls that were answered. */
  acknowledged = 0;
  readonly #client: GalleyClient;
  readonly #shared: string;
  readonly #random: Random;
  readonly #impatient: boolean;

  constructor(client: GalleyClient, shared: string, random: Random, impatient: boolean) {
    this.#client = client;
    this.#shared = shared;
    this.#random = random;
    this.#impatient = impatient;
  }

  async singles(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      await this.#submit([this.#job()], async ([job]) => {
        if (job !== undefined) await this.#client.submitJob(job);
      });
      await delay(SINGLE_PAUSE_MS * (0.5 + this.#random()));
    }
  }

  async batches(mode: 'each' | 'atomic', stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      const jobs = Array.from({ length: BATCH }, () => this.#job());
      await this.#submit(jobs, async () => {
        const failed = (await this.#client.submitJobs(jobs, { mode })).find((result) => !result.ok);
        if (failed?.ok === false) throw failed.error;
      });
      await delay(BATCH_PAUSE_MS * (0.5 + this.#random()));
    }
  }

  async #submit(jobs: readonly JobRequest[], call: (jobs: readonly JobRequest[]) => Promise<void>): Promise<void> {
    const tell = (fate: Fate) => {
      for (const { jobId = '' } of jobs) this.ledger.set(jobId, fate);
    };
    tell('unknown');
    for (let tries = 1; ; tries++) {
      try {
        await call(jobs);
        tell('acknowledged');
        this.acknowledged++;
        return;
      } catch (error) {
        const { code } = GalleyError.from(error);
        // Anything else would be a refusal, and these jobs are as they should be.
        expect(['UNAVAILABLE', 'OUTCOME_UNKNOWN', 'DEADLINE_EXCEEDED', 'CANCELLED']).toContain(code);
        if (this.#impatient && tries >= IMPATIENT_TRIES) return;
      }
    }
  }

  /** Leaves one line in a file of its own for every time that it runs, and a log of known content. */
  #job(): JobRequest {
    const jobId = randomUUID();
    return {
      jobId,
      jobName: 'once',
      command: [
        'sh',
        '-c',
        `echo "run $GALLEY_ATTEMPT" >>"$1/$2"; i=0; while [ $i -lt ${LINES} ]; do echo "$2 $i"; i=$((i+1)); done`,
        'sh',
        this.#shared,
        jobId,
      ],
      resources: { vcpus: 0.1, memoryBytes: 32 * 1024 * 1024, pids: 16 },
    };
  }
}

function wholeLog(jobId: string): string {
  return Array.from({ length: LINES }, (_, line) => `${jobId} ${line}\n`).join('');
}

describe(`a control plane killed with -9 ${KILLS} times under load`, () => {
  const seed = Math.floor(Math.random() * 2 ** 32);
  const random = seededRandom(seed);
  let cluster: TestCluster;

  beforeAll(async () => {
    cluster = await TestCluster.start();
    await cluster.startAgent('node-2');
  });
  afterAll(() => cluster.close());

  it(`keeps every acknowledged job, runs each once, and loses no line of a log (seed ${seed})`, async () => {
    const stop = new AbortController();
    const submitters = [false, false, true, true].map(
      (impatient) =>
        new Submitter(
          cluster.client({ attempts: impatient ? 1 : 6, initialBackoffMs: 50, maxBackoffMs: 250 }),
          cluster.place.shared,
          random,
          impatient,
        ),
    );
    const [first, second, third, fourth] = submitters;
    const acks = () => submitters.reduce((sum, { acknowledged }) => sum + acknowledged, 0);
    const work = Promise.all([
      first?.singles(stop.signal),
      second?.batches('each', stop.signal),
      third?.singles(stop.signal),
      fourth?.batches('atomic', stop.signal),
    ]);
    for (let kill = 0; kill < KILLS; kill++) {
      const { server } = cluster;
      if (kill % 2 === 0) {
        await server.says(READY);
        const enough = acks() + 1 + Math.floor(random() * MOST_ACKS);
        await eventually('submits are acknowledged', () => acks() >= enough);
        await delay(random() * LONGEST_MOMENT_MS);
      } else {
        await delay(random() * LONGEST_START_MS);
      }
      expect(server.running, `the control plane ended by itself:\n${server.said}`).toBe(true);
      await server.end('SIGKILL');
      cluster.spawnServer();
    }
    await cluster.server.says(READY);
    stop.abort();
    await work;

    const ledger = new Map(submitters.flatMap((submitter) => [...submitter.ledger]));
    const client = cluster.client();
    const known = new Map((await client.describeJobs([...ledger.keys()])).map((job) => [job.summary.jobId, job]));
    for await (const job of client.watchJobs([...known.keys()], { signal: AbortSignal.timeout(90_000) })) {
      expect(job.state).not.toBe('FAILED');
    }

    const verdicts: string[] = [];
    for (const [jobId, fate] of ledger) {
      const runs = textOf(join(cluster.place.shared, jobId));
      const job = known.has(jobId) ? await client.getJob(jobId) : undefined;
      if (job === undefined) {
        // Nobody was told that it is accepted, and nothing of it ever ran.
        if (fate === 'acknowledged' || runs !== '') verdicts.push(`${jobId} (${fate}) is gone; it ran: ${runs}`);
        continue;
      }
      const { state, exitCode, attempts } = job.summary;
      const log = await wholeLogOf(client, jobId);
      const whole = state === 'SUCCEEDED' && exitCode === 0 && attempts === 1 && log === wholeLog(jobId);
      if (!whole || runs !== 'run 1\n') {
        verdicts.push(`${jobId} (${fate}): ${state} ${exitCode}, ${attempts} attempts, ran: ${runs}, log: ${log}`);
      }
    }
    expect(verdicts).toEqual([]);
    // What ran without being in anybody's ledger would be a job that nobody submitted.
    expect(readdirSync(cluster.place.shared).filter((name) => !ledger.has(name))).toEqual([]);
    expect((await client.getClusterStatus()).orphans).toEqual([]);
    // Otherwise nothing was judged: jobs that were acknowledged, and some about which nobody was told.
    const fates = [...ledger.values()];
    expect(fates.filter((fate) => fate === 'acknowledged').length).toBeGreaterThan(KILLS);
    expect(fates).toContain('unknown');
  }, 240_000);
});
