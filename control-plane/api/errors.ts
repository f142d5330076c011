import { type FieldViolation, type Status, type StatusParts, toStatus } from '@galley/proto';
import { status } from '@grpc/grpc-js';
import { assertNever } from '../core/assert.ts';
import type { Refusal } from '../core/types.ts';
import { LogStoreError } from '../logs/log-store.ts';
import { StoreError } from '../store/store.ts';
import { TurnError } from '../turn/turns.ts';

/** What a handler answers when it does not answer: the final codes of the contract. */
export type ApiErrorCode =
  | 'INVALID_ARGUMENT'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'FAILED_PRECONDITION'
  | 'ABORTED'
  | 'OUT_OF_RANGE'
  | 'RESOURCE_EXHAUSTED'
  | 'UNIMPLEMENTED'
  | 'UNAVAILABLE'
  | 'CANCELLED'
  | 'DATA_LOSS'
  | 'INTERNAL';

/**
 * What programs switch on where the code says too little.
 *
 * | reason | cause | remedy |
 * |---|---|---|
 * | `OUTCOME_UNKNOWN` | the commit failed after the command was applied | ask again with the same id |
 * | `OVERLOADED` | too much waits | wait, then ask again |
 * | `STORE_UNAVAILABLE` | the store takes nothing; nothing was done | ask again |
 * | `NOT_BUILT` | the contract reserves it, this version does not have it | leave the field out |
 * | `AMBIGUOUS` | an id's prefix fits several jobs | give more digits |
 * | `STALE_FACTS` | the command waited too long behind others; nothing was done | ask again |
 * | `CURSOR_EXPIRED` | events after this position are not remembered any more | read the position, list, subscribe after it |
 * | `VERSION_MISMATCH` | somebody else changed the resource since it was read | read it again |
 */
export type ApiErrorReason =
  | 'OUTCOME_UNKNOWN'
  | 'OVERLOADED'
  | 'STORE_UNAVAILABLE'
  | 'NOT_BUILT'
  | 'AMBIGUOUS'
  | 'STALE_FACTS'
  | 'CURSOR_EXPIRED'
  | 'VERSION_MISMATCH';

export interface ApiErrorDetails {
  readonly violations?: readonly FieldViolation[];
  readonly reason?: ApiErrorReason;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly cause?: unknown;
}

/** The one error type of this boundary. `message` is a sentence for whoever called. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly code: ApiErrorCode;
  readonly violations: readonly FieldViolation[];
  readonly reason: ApiErrorReason | undefined;
  readonly metadata: Readonly<Record<string, string>> | undefined;
  constructor(code: ApiErrorCode, message: string, details: ApiErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.violations = details.violations ?? [];
    this.reason = details.reason;
    this.metadata = details.metadata;
  }
}

/** A field is at fault: `description` gives the constraint and the value received. */
export function invalid(field: string, description: string): ApiError {
  return new ApiError('INVALID_ARGUMENT', `${field}: ${description}`, { violations: [{ field, description }] });
}

export function notFound(field: string, what: string): ApiError {
  return new ApiError('NOT_FOUND', `${what} does not exist`, {
    violations: [{ field, description: `${what} does not exist` }],
  });
}

/** The contract has it, this version does not. */
export function notBuilt(what: string): ApiError {
  return new ApiError('UNIMPLEMENTED', `${what} is part of the contract, and this version does not do it yet`, {
    reason: 'NOT_BUILT',
  });
}

/** A refusal of the core as an error of this boundary. */
export function refused(refusal: Refusal): ApiError {
  const { code, field, message } = refusal;
  const violations = field === '' ? [] : [{ field, description: message }];
  switch (code) {
    case 'invalid':
      return new ApiError('INVALID_ARGUMENT', message, { violations });
    case 'notFound':
      return new ApiError('NOT_FOUND', message, { violations });
    case 'alreadyExists':
      return new ApiError('ALREADY_EXISTS', message, { violations });
    case 'failedPrecondition':
      return new ApiError('FAILED_PRECONDITION', message, { violations });
    case 'aborted':
      return new ApiError('ABORTED', message, { violations, reason: 'VERSION_MISMATCH' });
    case 'exhausted':
      return new ApiError('RESOURCE_EXHAUSTED', message, { violations, reason: 'OVERLOADED' });
    case 'staleFacts':
      return new ApiError('UNAVAILABLE', `${message}; nothing was done, ask again`, { reason: 'STALE_FACTS' });
    default:
      return assertNever(code);
  }
}

/** Passes on a reply that is no refusal. */
export function accepted<T extends { readonly ok: boolean }>(reply: T | Refusal): Exclude<T, Refusal> {
  if (!reply.ok) throw refused(reply as Refusal);
  return reply as Exclude<T, Refusal>;
}

/** Any error as an error of this boundary. What it does not know becomes INTERNAL, with the cause kept for the log. */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof TurnError) return fromTurnError(error);
  if (error instanceof StoreError) return fromStoreError(error);
  if (error instanceof LogStoreError) return fromLogStoreError(error);
  if (error instanceof Error && error.name === 'AbortError') {
    return new ApiError('CANCELLED', 'the call was cancelled', { cause: error });
  }
  return new ApiError('INTERNAL', 'internal error; the log of the control plane has the details', { cause: error });
}

function fromTurnError(cause: TurnError): ApiError {
  switch (cause.code) {
    case 'OUTCOME_UNKNOWN':
      return new ApiError('UNAVAILABLE', 'outcome unknown, ask again with the same id', {
        reason: 'OUTCOME_UNKNOWN',
        cause,
      });
    case 'OVERLOADED':
      return new ApiError('RESOURCE_EXHAUSTED', cause.message, { reason: 'OVERLOADED', cause });
    case 'EXPIRED':
      return new ApiError('OUT_OF_RANGE', cause.message, { reason: 'CURSOR_EXPIRED', cause });
    case 'UNAVAILABLE':
    case 'CLOSED':
      return new ApiError('UNAVAILABLE', cause.message, { reason: 'STORE_UNAVAILABLE', cause });
    default:
      return assertNever(cause.code);
  }
}

function fromStoreError(cause: StoreError): ApiError {
  switch (cause.code) {
    case 'CORRUPT':
      return new ApiError('DATA_LOSS', 'a record on disk is damaged; the log of the control plane names it', { cause });
    case 'LOCKED':
    case 'NOT_INITIALISED':
    case 'ALREADY_INITIALISED':
    case 'FORMAT':
    case 'FILE_SYSTEM':
    case 'FULL':
    case 'WRITE_FAILED':
    case 'DEAD':
      return new ApiError('UNAVAILABLE', 'the store is being reopened; ask again', {
        reason: 'STORE_UNAVAILABLE',
        cause,
      });
    default:
      return assertNever(cause.code);
  }
}

function fromLogStoreError(cause: LogStoreError): ApiError {
  switch (cause.code) {
    case 'INVALID':
      return new ApiError('INVALID_ARGUMENT', cause.message, { cause });
    case 'CONFLICT':
      return new ApiError('FAILED_PRECONDITION', cause.message, { cause });
    case 'OVERLOADED':
    case 'NO_SPACE':
    case 'TOO_MANY_FOLLOWERS':
      return new ApiError('RESOURCE_EXHAUSTED', `${cause.message}; ask again later`, { reason: 'OVERLOADED', cause });
    case 'WRITE_FAILED':
    case 'UNAVAILABLE':
    case 'CLOSED':
    case 'LOCKED':
    case 'FORMAT':
      return new ApiError('UNAVAILABLE', 'the log store takes no calls now; ask again', {
        reason: 'STORE_UNAVAILABLE',
        cause,
      });
    default:
      return assertNever(cause.code);
  }
}

/** What the transport sends: the one place where an error becomes a final status. */
export function statusParts(error: unknown): StatusParts {
  const { code, message, violations, reason, metadata } = toApiError(error);
  return {
    code: grpcCode(code),
    message,
    ...(violations.length === 0 ? {} : { violations }),
    ...(reason === undefined ? {} : { reason }),
    ...(metadata === undefined ? {} : { metadata }),
  };
}

/** An error as one item of a batch's answer. */
export function itemStatus(error: unknown): Status {
  return toStatus(statusParts(error));
}

function grpcCode(code: ApiErrorCode): status {
  switch (code) {
    case 'INVALID_ARGUMENT':
      return status.INVALID_ARGUMENT;
    case 'NOT_FOUND':
      return status.NOT_FOUND;
    case 'ALREADY_EXISTS':
      return status.ALREADY_EXISTS;
    case 'FAILED_PRECONDITION':
      return status.FAILED_PRECONDITION;
    case 'ABORTED':
      return status.ABORTED;
    case 'OUT_OF_RANGE':
      return status.OUT_OF_RANGE;
    case 'RESOURCE_EXHAUSTED':
      return status.RESOURCE_EXHAUSTED;
    case 'UNIMPLEMENTED':
      return status.UNIMPLEMENTED;
    case 'UNAVAILABLE':
      return status.UNAVAILABLE;
    case 'CANCELLED':
      return status.CANCELLED;
    case 'DATA_LOSS':
      return status.DATA_LOSS;
    case 'INTERNAL':
      return status.INTERNAL;
    default:
      return assertNever(code);
  }
}
