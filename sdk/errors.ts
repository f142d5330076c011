import { type FieldViolation, fromServiceError, fromStatus, type Status, type StatusParts } from '@galley/proto';
import { type ServiceError, status } from '@grpc/grpc-js';

export type { FieldViolation } from '@galley/proto';

/**
 * What a program switches on. The names of gRPC's codes, and four of our own:
 * - `OUTCOME_UNKNOWN`: the answer was lost on its way; the change may have been made. Ask again with the same id.
 * - `NOT_CONFIGURED`: no control plane is known (no address given, none started in the data directory).
 * - `WAIT_TIMED_OUT`: `waitForJob` ran into its `timeoutMs`. The job goes on.
 * - `BAD_ANSWER`: the other side is not a Galley control plane, or one of an incompatible version.
 */
export type GalleyErrorCode =
  | Exclude<keyof typeof status, 'OK'>
  | 'OUTCOME_UNKNOWN'
  | 'NOT_CONFIGURED'
  | 'WAIT_TIMED_OUT'
  | 'BAD_ANSWER';

export interface GalleyErrorDetails {
  /** Fields at fault, for INVALID_ARGUMENT. */
  readonly violations?: readonly FieldViolation[];
  /** The server's stable reason, where the code says too little: `JOB_QUEUE_DISABLED`. */
  readonly reason?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly cause?: unknown;
}

/** The `reason` that the control plane gives when a write's fate is not known (DESIGN D2). */
export const REASON_OUTCOME_UNKNOWN = 'OUTCOME_UNKNOWN';

/** Every failure that the SDK reports. */
export class GalleyError extends Error {
  override readonly name = 'GalleyError';
  readonly code: GalleyErrorCode;
  readonly violations: readonly FieldViolation[];
  readonly reason: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;

  constructor(code: GalleyErrorCode, message: string, details: GalleyErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.violations = details.violations ?? [];
    this.reason = details.reason;
    this.metadata = details.metadata ?? {};
  }

  /** Wraps whatever a call threw; a GalleyError stays what it is. */
  static from(error: unknown): GalleyError {
    if (error instanceof GalleyError) return error;
    if (isServiceError(error)) return fromParts(fromServiceError(error), error);
    if (error instanceof Error && error.name === 'AbortError') {
      return new GalleyError('CANCELLED', 'the caller gave up', { cause: error });
    }
    return new GalleyError('UNKNOWN', error instanceof Error ? error.message : String(error), { cause: error });
  }

  /** The error of one item of a batch. */
  static fromStatus(value: Status): GalleyError {
    return fromParts(fromStatus(value), undefined);
  }
}

function fromParts(parts: StatusParts, cause: unknown): GalleyError {
  const name = status[parts.code] as keyof typeof status | undefined;
  const known = name === undefined || name === 'OK' ? 'UNKNOWN' : name;
  return new GalleyError(parts.reason === REASON_OUTCOME_UNKNOWN ? 'OUTCOME_UNKNOWN' : known, parts.message, {
    ...(parts.violations === undefined ? {} : { violations: parts.violations }),
    ...(parts.reason === undefined ? {} : { reason: parts.reason }),
    ...(parts.metadata === undefined ? {} : { metadata: parts.metadata }),
    cause,
  });
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'code' in error && typeof error.code === 'number' && 'details' in error;
}

/**
 * True when the request certainly never left: grpc-js had no connection to send it on. Every other UNAVAILABLE may have
 * come after the server had acted.
 */
export function neverSent(error: GalleyError): boolean {
  return error.code === 'UNAVAILABLE' && /^(No connection established|Name resolution failed)/.test(error.message);
}
