import { monitorEventLoopDelay } from 'node:perf_hooks';
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { CoreView } from '../core/view.ts';
import type { TurnStatistics } from '../turn/turn-loop.ts';

/** What metrics are made of, asked when somebody looks. */
export interface MetricsSource {
  view(): CoreView;
  turns(): TurnStatistics;
}

const LIVE_STATES = ['submitted', 'pending', 'runnable', 'starting', 'running'];

/** Prometheus metrics of the control plane. Nothing is counted per job: everything is read off when it is asked for. */
export class Metrics {
  readonly #registry = new Registry();

  constructor(source: MetricsSource) {
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry });
    const stalls = monitorEventLoopDelay({ resolution: 5 });
    stalls.enable();
    const gauge = (name: string, help: string, read: () => number): void => {
      new Gauge({
        name: `galley_${name}`,
        help,
        registers,
        collect: function collect() {
          this.set(read());
        },
      });
    };
    new Gauge({
      name: 'galley_live_jobs',
      help: 'Jobs that are not over, by state.',
      labelNames: ['state'],
      registers,
      collect() {
        for (const [at, jobs] of source.view().status().liveJobs.entries())
          this.set({ state: LIVE_STATES[at] ?? '' }, jobs);
      },
    });
    gauge('ended_jobs', 'Jobs that are over, since the cluster was made.', () => source.view().status().endedJobs);
    gauge('nodes', 'Nodes that are known.', () => source.view().status().nodes);
    gauge('ready_nodes', 'Nodes that take placements.', () => source.view().status().readyNodes);
    gauge('scheduling_paused', '1 while something keeps the scheduler from placing.', () => {
      const { pauses, awaitedNodes } = source.view().status();
      return pauses.length > 0 || awaitedNodes.length > 0 ? 1 : 0;
    });
    gauge('capacity_milli_vcpu', 'Offered by ready nodes.', () => source.view().status().capacity.milliVcpu);
    gauge('allocated_milli_vcpu', 'Held by attempts.', () => source.view().status().allocated.milliVcpu);
    gauge('capacity_memory_bytes', 'Offered by ready nodes.', () => source.view().status().capacity.memoryBytes);
    gauge('allocated_memory_bytes', 'Held by attempts.', () => source.view().status().allocated.memoryBytes);
    gauge('turns_total', 'Turns since the start.', () => source.turns().turns);
    gauge('commits_total', 'Batches committed since the start.', () => source.turns().commits);
    gauge('inputs_total', 'Inputs applied since the start.', () => source.turns().inputs);
    gauge('rebuilds_total', 'Times the state was loaded again after a failed write.', () => source.turns().rebuilds);
    gauge('stall_max_seconds', 'Longest stall of the event loop since the last look.', () => {
      const seconds = stalls.max / 1e9;
      stalls.reset();
      return seconds;
    });
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** All metrics in Prometheus's text format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }
}
