import type { Sample } from './system/probe.ts';

// What the benchmarks say, as `--json` prints it. Fields are added, never renamed: `FORMAT` changes when one has to be.

export const FORMAT = 'galley-bench/1';

/** A figure of ours, and what it is measured against. */
export interface Row {
  /** Unique in the document: `submit-single`, `first-instruction-p99`. */
  readonly name: string;
  /** What is measured, for people. */
  readonly what: string;
  readonly unit: Unit;
  /** The median of the rounds, unless `what` says otherwise. */
  readonly value: number;
  readonly better: 'higher' | 'lower';
  /** In the order in which they were measured. */
  readonly rounds: readonly number[];
  readonly floor?: Floor;
  readonly target?: Target;
}

export type Unit = 'jobs/s' | 'ms' | 'MiB' | 's';

/** What the machine gives without Galley, measured in the same run, round by round beside ours. */
export interface Floor {
  readonly what: string;
  readonly value: number;
  readonly rounds: readonly number[];
  /** Ours divided by the floor: the median over the rounds where each has its own floor beside it. */
  readonly ratio: number;
}

export interface Target {
  /** `>= 40 % of the floor`, `<= 15 ms`. */
  readonly text: string;
  readonly met: boolean;
}

/** What one benchmark found. */
export interface Findings {
  readonly rows: readonly Row[];
  /** What the processes of Galley did meanwhile, by their role. */
  readonly processes: Readonly<Record<string, Sample>>;
  /** Further figures by name, with the unit at the end of the name. */
  readonly detail: Readonly<Record<string, number>>;
}

/** One benchmark. */
export interface Bench {
  readonly name: string;
  run(context: BenchContext): Promise<Findings>;
}

export interface BenchContext {
  /** A directory of this benchmark's own, on the disk that is measured. */
  readonly directory: string;
  /** Fewer and shorter rounds: to see that it works, not to quote. */
  readonly quick: boolean;
  /** Where the processes of Galley leave their CPU profiles; undefined: none are taken. */
  readonly profiles: string | undefined;
  /** Progress, for people. */
  readonly say: (text: string) => void;
}

export interface BenchReport extends Findings {
  readonly name: string;
  readonly seconds: number;
  /** Where the CPU time went, by process; with `--profile`. */
  readonly profiles: Readonly<Record<string, ProfileSummary>>;
}

export interface ProfileSummary {
  /** CPU time that the profile covers, without idling, in ms. */
  readonly busyMs: number;
  /** Share of it by part of the sources, the largest first. */
  readonly parts: readonly Share[];
  /** Share of it by function, the largest first. */
  readonly functions: readonly Share[];
}

export interface Share {
  readonly name: string;
  readonly percent: number;
}

export interface Document {
  readonly format: typeof FORMAT;
  readonly startedAt: string;
  readonly seconds: number;
  readonly quick: boolean;
  readonly host: {
    readonly node: string;
    readonly cpus: number;
    readonly cpuModel: string;
    readonly memoryMiB: number;
    readonly kernel: string;
  };
  readonly benches: readonly BenchReport[];
  /** Over all benchmarks together. */
  readonly stalls: readonly Row[];
}
