import type { LimitReport, Limits } from '../cgroup/cgroup.ts';

/** What runs an attempt. */
export type RuntimeName = 'process' | 'container';

/** A file or directory of the node inside a container; without `hostPath` a scratch directory of the attempt. */
export interface ContainerMount {
  /** Mounts of one volume see the same files. */
  readonly volume: string;
  readonly hostPath?: string;
  readonly target: string;
  readonly readOnly: boolean;
}

/** What only a container has. Undefined members take the engine's default. */
export interface ContainerLaunch {
  readonly image: string;
  readonly pullPolicy: 'always' | 'missing' | 'never';
  /** Empty: the image's own. */
  readonly entrypoint: readonly string[];
  readonly mounts: readonly ContainerMount[];
  readonly ulimits: readonly { readonly name: string; readonly soft: number; readonly hard: number }[];
  readonly devices: readonly { readonly hostPath: string; readonly target: string; readonly permissions: string }[];
  readonly tmpfs: readonly { readonly target: string; readonly options: string }[];
  readonly sharedMemoryBytes?: number;
  readonly init: boolean;
  readonly readOnlyRoot: boolean;
  readonly privileged: boolean;
  /** `bridge`, `host`, `none`; empty: the engine's default. */
  readonly networkMode: string;
  /** `user`, `user:group`, `uid` or `uid:gid` as the image knows them; empty: see container/identity.ts. */
  readonly user: string;
}

/** One attempt, ready to be started. */
export interface AttemptLaunch {
  /** Safe as a file name and unique for the life of the agent's incarnation. */
  readonly key: string;
  /**
   * Absolute; exists, is empty but for the caller's own files, and is readable by the agent only. The runtime keeps
   * its records here (`launch`, `record`, `how`, `stop.json`) beside the job's `output`, or
   * `stdout` and `stderr`. Whoever made it removes it, after {@link Runtime.release}.
   */
  readonly directory: string;
  /** Program and arguments, any character but NUL, 128 KiB each; at least one, or none for a container's own command. */
  readonly argv: readonly string[];
  /** Overrides what the account gives: HOME, USER, LOGNAME, SHELL and PATH. Names may be any text without `=`. */
  readonly environment: Readonly<Record<string, string>>;
  /** Default: the user's home directory where it can be entered, else `/`. Touched as the user only. */
  readonly workingDirectory?: string;
  /** Name (or number) of an account of this node. Default: see `DEFAULT_ACCOUNTS`; the agent itself if it is not root. */
  readonly user?: string;
  readonly limits: Limits;
  /** False: one file `output` in the order as written. True: `stdout` and `stderr`. All are opened for appending. */
  readonly separateStreams: boolean;
  /** Counted from the job's first instruction, on the boot clock; undefined: no limit. */
  readonly timeoutSeconds?: number;
  /** Between SIGTERM and SIGKILL when the time-out strikes. */
  readonly stopGraceSeconds: number;
  /** Present: the attempt is a container. */
  readonly container?: ContainerLaunch;
}

/**
 * How an attempt ended.
 *
 * - `exited`: by itself, with `exitCode`.
 * - `signalled`: by a signal that was not this agent's, `signal`.
 * - `out_of_memory`: unsuccessfully, and the kernel had killed in its leaf for want of memory.
 * - `timed_out`, `stopped`: by this agent; exit code or signal are kept as evidence.
 * - `launch_failed`: the job's own command was never reached; `reason` says why.
 * - `not_started`: nobody had begun with it and nobody ever will: it can be placed again.
 * - `lost`: it ran, and its exit code is unknown: its supervisor was killed.
 * - `host_restarted`: the host restarted before an exit code was written.
 */
export type EndCause =
  | 'exited'
  | 'signalled'
  | 'out_of_memory'
  | 'timed_out'
  | 'stopped'
  | 'launch_failed'
  | 'not_started'
  | 'lost'
  | 'host_restarted';

export interface Outcome {
  readonly cause: EndCause;
  /**
   * Never together with `signal`. A job ended by signal n has no exit code of its own; 128+n is for the presenter. Container
   * engines do not tell the two apart: there it is always an exit code, 128+n included.
   */
  readonly exitCode?: number;
  /** The number of the signal that ended the job's main process. */
  readonly signal?: number;
  /** A sentence for people; AWS Batch's own text where it has one. */
  readonly reason: string;
  /** Milliseconds since boot, suspend included; absent when the first instruction was never reached. */
  readonly startedAtUptimeMs?: number;
  /** Absent when there is no start or no known end. In steps of 10 ms. */
  readonly runDurationMs?: number;
  /** Highest charge, page cache included. */
  readonly peakMemoryBytes?: number;
  /** User and system time of all processes of the attempt. */
  readonly cpuTimeUs?: number;
  /** Processes that the kernel killed for want of memory; more than 0 is possible for a job that went on and succeeded. */
  readonly oomKills?: number;
  /** True when a process could not be killed in time (it hangs in the kernel): what it holds is not free yet. */
  readonly leftBehind?: boolean;
  /** `sha256:...`: the image that ran, as its registry names it, or its own id if it came from none. */
  readonly imageDigest?: string;
  /** `not_started`: when this node may be asked again, in milliseconds. */
  readonly retryAfterMs?: number;
}

export type Started =
  | { readonly state: 'running'; readonly startedAtUptimeMs: number }
  | { readonly state: 'ended'; readonly outcome: Outcome };

/** An attempt that an earlier agent of this incarnation had meant to start. */
export interface AttachRequest {
  readonly key: string;
  readonly directory: string;
  /** Of the boot in which the intent was made, from the caller's durable journal. */
  readonly bootId: string;
  readonly runtime: RuntimeName;
}

export type Attached =
  /** `startedAtUptimeMs` is absent while the first instruction has not been reached; `started` then follows. */
  | { readonly key: string; readonly state: 'running'; readonly startedAtUptimeMs?: number }
  | { readonly key: string; readonly state: 'ended'; readonly outcome: Outcome };

export interface StopOptions {
  /** Between SIGTERM and SIGKILL; 0 kills at once. */
  readonly graceSeconds: number;
  /** Becomes the outcome's reason. */
  readonly reason: string;
}

export interface Usage {
  readonly memoryBytes?: number;
  readonly cpuTimeUs?: number;
  readonly processes?: number;
}

export interface RuntimeEvents {
  started: [key: string, startedAtUptimeMs: number];
  /** Not durable yet: journal it, synced, before anybody is told, and then release the key. */
  ended: [key: string, outcome: Outcome];
}

export interface RuntimeDescription {
  readonly limits: LimitReport;
  /** Whether the host's OOM killer is steered away from agent and supervisors; a sentence when it is not. */
  readonly oomProtection: string;
}

/** What runs attempts on a host. Every call is safe to repeat after a restart of the agent. */
export interface Runtime {
  readonly description: RuntimeDescription;
  /**
   * Takes over what an earlier agent left; once, before the first `start`. Each attempt comes back as running or
   * with its outcome; one that nobody had claimed is claimed here, so that a slow supervisor can never start it late.
   */
  attach(attempts: readonly AttachRequest[]): Promise<Attached[]>;
  /** Resolves when the job's first instruction is about to run or the attempt has ended; rejects only for misuse. */
  start(launch: AttemptLaunch): Promise<Started>;
  /** SIGTERM to everything, grace, SIGKILL to everything; `ended` follows. Unknown and ended keys are ignored. */
  stop(key: string, options: StopOptions): void;
  usage(key: string): Usage | undefined;
  /** Gives back what an ended attempt holds; its directory must never be attached again. */
  release(key: string): Promise<void>;
  on(event: 'started', listener: (...values: RuntimeEvents['started']) => void): unknown;
  on(event: 'ended', listener: (...values: RuntimeEvents['ended']) => void): unknown;
  /** Detaches: jobs and supervisors go on. */
  close(): Promise<void>;
}
