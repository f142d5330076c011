import type {
  Attempt as AttemptMessage,
  AttemptRecord as AttemptRecordMessage,
  ComputeEnvironment as ComputeEnvironmentMessage,
  EndCause,
  GetClusterStatusResponse,
  HistorySummary as HistorySummaryMessage,
  JobDefinition as JobDefinitionMessage,
  Job as JobMessage,
  JobQueue as JobQueueMessage,
  JobState,
  JobSummary as JobSummaryMessage,
  Node as NodeMessage,
  NodeState,
  Resources as ResourcesMessage,
  StateCounts as StateCountsMessage,
  SubmitJobResponse,
} from '@galley/proto';
import type { Plain } from './plain.ts';

// What the SDK returns. Names and meanings are those of the contract (proto/galley/v1), in camel case; times are Unix
// milliseconds, sizes bytes, vCPUs thousandths.

type Name<E> = Exclude<keyof E, 'UNSPECIFIED'>;
type Narrow<T, F> = Omit<T, keyof F> & F;

/** `SUBMITTED` ... `FAILED`. */
export type JobStateName = Name<typeof JobState>;
/** `EXITED`, `OUT_OF_MEMORY`, ... */
export type EndCauseName = Name<typeof EndCause>;
/** `READY`, `SILENT`, ... */
export type NodeStateName = Name<typeof NodeState>;

export type Resources = Plain<ResourcesMessage>;
/** Jobs by state. */
export type StateCounts = Plain<StateCountsMessage>;
export type JobSummary = Narrow<Plain<JobSummaryMessage>, { state: JobStateName }> & { cause?: EndCauseName };
export type Attempt = Plain<AttemptMessage> & { cause?: EndCauseName };
export type Job = Narrow<Plain<JobMessage>, { summary: JobSummary; attempts: Attempt[] }>;
export type SubmittedJob = Plain<SubmitJobResponse>;
export type Node = Narrow<Plain<NodeMessage>, { state: NodeStateName }>;
export type JobQueue = Plain<JobQueueMessage>;
export type ComputeEnvironment = Plain<ComputeEnvironmentMessage>;
export type JobDefinition = Plain<JobDefinitionMessage>;
export type AttemptRecord = Narrow<Plain<AttemptRecordMessage>, { state: JobStateName }> & { cause?: EndCauseName };
export type HistorySummary = Plain<HistorySummaryMessage>;
export type ClusterStatus = Plain<GetClusterStatusResponse>;

/** What ended an id in `cancelJobs`. */
export interface CancelledJob {
  readonly jobId: string;
  readonly outcome: 'ENDED' | 'STOPPING' | 'ALREADY_ENDED' | 'LEFT_RUNNING' | 'UNKNOWN_JOB';
  readonly state?: JobStateName;
  readonly number: number;
}

/** True in SUCCEEDED and FAILED: nothing will change any more. */
export function isTerminal(state: JobStateName): state is 'SUCCEEDED' | 'FAILED' {
  return state === 'SUCCEEDED' || state === 'FAILED';
}
