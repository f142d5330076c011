// The typed client of a Galley control plane.

export { connectGalley, type GalleyClient } from './client.ts';
export type { JobDefinitionRequest } from './definitions.ts';
export type { ComputeEnvironmentSettings } from './environments.ts';
export { type FieldViolation, GalleyError, type GalleyErrorCode } from './errors.ts';
export type { EventOptions, GalleyEvent, Position } from './events.ts';
export type { HistoryFilter, HistoryGroupName } from './history.ts';
export type { CancelOptions, JobFilter, RerunOptions } from './jobs.ts';
export type { FollowLogOptions, LogChunk, LogPage, LogSelection, LogStreamName, ReadLogOptions } from './logs.ts';
export type { GalleyOptions } from './options.ts';
export type { JobQueueSettings } from './queues.ts';
export type { RetryPolicy } from './retry.ts';
export type {
  ArrayRequest,
  ContainerRequest,
  DependencyName,
  ExitRule,
  JobRequest,
  MountRequest,
  ResourceRequest,
  RetryRequest,
  SubmitResult,
  TaskRequest,
} from './submit-request.ts';
export type { RequestOptions, StreamOptions } from './transport.ts';
export * from './types.ts';
export type { WaitOptions } from './watch.ts';
