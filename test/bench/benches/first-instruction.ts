import { spawnSync } from 'node:child_process';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { JobRequest } from '@galley/sdk';
import { compileProcesses, firstInstructions } from '../floors/processes.ts';
import { quantile, rounded } from '../stats.ts';
import { withGalley } from '../system/galley.ts';
import { atMost } from '../targets.ts';
import type { Bench, BenchContext, Row } from '../types.ts';

const TARGET_P50_MS = 15;
const TARGET_P99_MS = 50;
const MEBIBYTE = 1024 * 1024;
/** Between two jobs, so that the node is idle again. Not a divisor of anything's period. */
const PAUSE_MS = 23;
const FLOOR_SAMPLES_PER_JOB = 2;

/** From the client's call to the job's own first instruction, on an idle node. */
export const firstInstruction: Bench = {
  name: 'first-instruction',
  run: (context) =>
    withGalley(context, { agent: true }, async (galley) => {
      const jobs = context.quick ? 30 : 200;
      const looker = openLooker(context);
      const client = galley.client();
      const latencies: number[] = [];
      const answers: number[] = [];
      const floor: number[] = [];
      const stages = { placed: [] as number[], started: [] as number[] };
      const one = async (word: string) => {
        const calledMs = looker.nowMs();
        const { jobId } = await client.submitJob(looker.job(word));
        answers.push(looker.nowMs() - calledMs);
        const { summary, attempts } = await client.waitForJob(jobId);
        if (summary.exitCode !== 0) throw new Error(`job ${jobId} ended with ${summary.exitCode}: ${summary.reason}`);
        latencies.push(looker.firstInstructionMs(word) - calledMs);
        const [attempt] = attempts;
        stages.placed.push((attempt?.placedAtMs ?? Number.NaN) - (summary.createdAtMs ?? 0));
        stages.started.push((attempt?.startedAtMs ?? Number.NaN) - (summary.createdAtMs ?? 0));
      };
      for (let warmUp = 0; warmUp < 5; warmUp++) await one(`w${warmUp}`);
      for (const list of [latencies, answers, stages.placed, stages.started]) list.length = 0;
      await galley.begin();
      for (let job = 0; job < jobs; job++) {
        await delay(PAUSE_MS);
        await one(`j${job}`);
        floor.push(...looker.floor(FLOOR_SAMPLES_PER_JOB));
        if ((job + 1) % 50 === 0) context.say(`${job + 1} of ${jobs} jobs`);
      }
      const processes = await galley.end();
      return {
        rows: [row('p50', 0.5, TARGET_P50_MS), row('p99', 0.99, TARGET_P99_MS)],
        processes,
        detail: {
          jobs,
          answerP50Ms: rounded(quantile(answers, 0.5)),
          answerP99Ms: rounded(quantile(answers, 0.99)),
          createdToPlacedP50Ms: quantile(stages.placed, 0.5),
          createdToStartedP50Ms: quantile(stages.started, 0.5),
          createdToStartedP99Ms: quantile(stages.started, 0.99),
          maxMs: rounded(Math.max(...latencies)),
        },
      };

      function row(name: string, share: number, targetMs: number): Row {
        const value = rounded(quantile(latencies, share));
        const beside = rounded(quantile(floor, share));
        return {
          name: `first-instruction-${name}`,
          what: `call to the job's first instruction, idle node, ${name}`,
          unit: 'ms',
          better: 'lower',
          value,
          rounds: [],
          floor: { what: looker.floorOf, value: beside, rounds: [], ratio: rounded(value / beside) },
          target: atMost(targetMs, 'ms')(value),
        };
      }
    }),
};

/** A job that notes when it began, and the clock that it shares with this process. */
interface Looker {
  readonly floorOf: string;
  nowMs(): number;
  job(word: string): JobRequest;
  firstInstructionMs(word: string): number;
  /** The same program started without Galley, in ms. */
  floor(samples: number): number[];
}

function openLooker(context: BenchContext): Looker {
  const file = join(context.directory, 'first-instructions');
  writeFileSync(file, '');
  // Jobs run as another user.
  chmodSync(file, 0o666);
  const request = (command: readonly string[]): JobRequest => ({
    command,
    resources: { vcpus: 0.5, memoryBytes: 64 * MEBIBYTE },
    workingDirectory: '/',
  });
  const noted = (word: string): number => {
    const line = readFileSync(file, 'utf8')
      .split('\n')
      .find((text) => text.startsWith(`${word} `));
    if (line === undefined) throw new Error(`job ${word} noted nothing in ${file}`);
    return Number(line.split(' ')[1]) / 1e6;
  };
  const program = compileProcesses(context.directory);
  if (program !== undefined) {
    return {
      floorOf: 'posix_spawn of the same program',
      nowMs: () => Number(process.hrtime.bigint()) / 1e6,
      job: (word) => request([program, 'clock', file, word]),
      firstInstructionMs: noted,
      floor: (samples) => firstInstructions(program, samples),
    };
  }
  const script = (word: string) => `echo "${word} $(date +%s%N)" >> ${file}`;
  const nowMs = () => performance.timeOrigin + performance.now();
  return {
    floorOf: 'the same shell script, spawned by Node',
    nowMs,
    job: (word) => request(['sh', '-c', script(word)]),
    firstInstructionMs: noted,
    floor: (samples) =>
      Array.from({ length: samples }, (_, sample) => {
        const word = `floor${performance.now()}-${sample}`;
        const from = nowMs();
        spawnSync('sh', ['-c', script(word)]);
        return noted(word) - from;
      }),
  };
}
