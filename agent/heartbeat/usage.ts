import { loadavg } from 'node:os';
import { create } from '@bufbuild/protobuf';
import { type NodeUsage, NodeUsageSchema } from '@galley/proto';
import { currentLoad, mem } from 'systeminformation';
import { withDeadline } from './deadline.ts';
import type { DiskGauge } from './disk.ts';

const QUESTION_DEADLINE_MS = 1_000;

/**
 * Samples the host beside the heartbeats: a heartbeat sends the latest sample and never waits for one. Each value keeps its
 * last known figure when its source does not answer.
 */
export class UsageSampler {
  readonly #disk: DiskGauge;
  readonly #runningJobs: () => number;
  readonly #usage: NodeUsage = create(NodeUsageSchema);
  #timer: NodeJS.Timeout | undefined;
  #sampling: Promise<void> | undefined;

  constructor(disk: DiskGauge, runningJobs: () => number) {
    this.#disk = disk;
    this.#runningJobs = runningJobs;
  }

  /** Takes a first sample, then one every `intervalMs`. */
  async start(intervalMs: number): Promise<void> {
    this.#timer = setInterval(() => void this.sample(), intervalMs);
    await this.sample();
  }

  latest(): NodeUsage {
    return create(NodeUsageSchema, {
      ...this.#usage,
      runningJobs: this.#runningJobs(),
      agentRssBytes: BigInt(process.memoryUsage.rss()),
    });
  }

  sample(): Promise<void> {
    this.#sampling ??= this.#sample().finally(() => {
      this.#sampling = undefined;
    });
    return this.#sampling;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #sample(): Promise<void> {
    const usage = this.#usage;
    const [load, memory, disk] = await Promise.all([
      withDeadline('currentLoad', QUESTION_DEADLINE_MS, currentLoad()).catch(() => undefined),
      withDeadline('mem', QUESTION_DEADLINE_MS, mem()).catch(() => undefined),
      this.#disk.measure(),
    ]);
    if (load !== undefined) usage.cpuMilliUsed = BigInt(Math.round(load.currentLoad * 10 * load.cpus.length));
    if (memory !== undefined) {
      usage.memoryAvailableBytes = BigInt(memory.available);
      usage.swapUsedBytes = BigInt(memory.swapused);
    }
    if (disk !== undefined) {
      usage.diskFreeBytes = BigInt(disk.freeBytes);
      usage.diskTotalBytes = BigInt(disk.totalBytes);
    }
    const [one = 0, five = 0, fifteen = 0] = loadavg();
    usage.load1m = one;
    usage.load5m = five;
    usage.load15m = fifteen;
    usage.observedAtMs = BigInt(Date.now());
  }
}
