import { randomUUID } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import {
  AttemptIdSchema,
  type Placement,
  PlacementSchema,
  ResourcesSchema,
  type TaskSpec,
  TaskSpecSchema,
} from '@galley/proto';
import { type AttemptKey, attemptKey } from '../../journal/attempt-key.ts';

const MIB = 1024n * 1024n;

export interface PlacementParts {
  readonly task?: Omit<Partial<TaskSpec>, '$typeName'>;
  readonly placement?: Omit<Partial<Placement>, '$typeName'>;
  readonly childIndex?: number;
  readonly attempt?: number;
}

let number = 0n;

/** A small job of an own id; its sequence is 0 until it is sent. */
export function placementOf(command: string[], parts: PlacementParts = {}): Placement {
  return create(PlacementSchema, {
    id: create(AttemptIdSchema, {
      jobId: new Uint8Array(Buffer.from(randomUUID().replaceAll('-', ''), 'hex')),
      childIndex: parts.childIndex ?? -1,
      attempt: parts.attempt ?? 1,
    }),
    jobNumber: ++number,
    jobName: 'test',
    jobQueue: 'default',
    computeEnvironment: 'default',
    jobDefinition: 'default:1',
    task: create(TaskSpecSchema, {
      command,
      resources: create(ResourcesSchema, { milliVcpu: 10n, memoryBytes: 16n * MIB }),
      ...parts.task,
    }),
    ...parts.placement,
  });
}

/** A job of `sh -c`. */
export function shellPlacement(script: string, parts: PlacementParts = {}): Placement {
  return placementOf(['sh', '-c', script], parts);
}

export function keyOf(placement: Placement): AttemptKey {
  if (placement.id === undefined) throw new Error('a placement has an id');
  return attemptKey(placement.id);
}
