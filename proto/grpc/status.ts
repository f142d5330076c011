import { create, type DescMessage, fromBinary, type Message, toBinary } from '@bufbuild/protobuf';
import { anyPack, anyUnpack } from '@bufbuild/protobuf/wkt';
import { Metadata, type ServiceError, type status } from '@grpc/grpc-js';
import { BadRequestSchema, ErrorInfoSchema } from '../gen/google/rpc/error_details_pb.ts';
import { type Status, StatusSchema } from '../gen/google/rpc/status_pb.ts';

export { type Status, StatusSchema } from '../gen/google/rpc/status_pb.ts';

// Errors travel as google.rpc.Status: a code, a sentence, the fields at fault and a stable reason for programs.

/** Where grpc carries an encoded google.rpc.Status. */
const DETAILS_KEY = 'grpc-status-details-bin';

/** The `domain` of every ErrorInfo of ours. */
export const ERROR_DOMAIN = 'galley';

export interface FieldViolation {
  /** Path of the field in the request: `task.resources.milli_vcpu`. */
  readonly field: string;
  /** The constraint and the value received, as a sentence. */
  readonly description: string;
}

export interface StatusParts {
  /** A gRPC status code. */
  readonly code: status;
  readonly message: string;
  readonly violations?: readonly FieldViolation[];
  /** UPPER_SNAKE_CASE, stable: what a program switches on where the code says too little. */
  readonly reason?: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** A detail of an error, with its type. */
export interface StatusDetail {
  readonly desc: DescMessage;
  readonly value: Message;
}

/** The details of an error: the fields at fault, and the reason for programs. */
export function statusDetails({ violations = [], reason, metadata }: StatusParts): StatusDetail[] {
  const details: StatusDetail[] = [];
  if (violations.length > 0) {
    const value = create(BadRequestSchema, { fieldViolations: violations.map((violation) => ({ ...violation })) });
    details.push({ desc: BadRequestSchema, value });
  }
  if (reason !== undefined) {
    const value = create(ErrorInfoSchema, { reason, domain: ERROR_DOMAIN, metadata: { ...metadata } });
    details.push({ desc: ErrorInfoSchema, value });
  }
  return details;
}

/** Builds the google.rpc.Status of an error. */
export function toStatus(parts: StatusParts): Status {
  const details = statusDetails(parts).map(({ desc, value }) => anyPack(desc, value));
  return create(StatusSchema, { code: parts.code, message: parts.message, details });
}

/** The parts of a google.rpc.Status that a client acts on. */
export function fromStatus(value: Status): StatusParts {
  const violations: FieldViolation[] = [];
  let reason: string | undefined;
  let metadata: Record<string, string> | undefined;
  for (const detail of value.details) {
    const badRequest = anyUnpack(detail, BadRequestSchema);
    for (const v of badRequest?.fieldViolations ?? []) violations.push({ field: v.field, description: v.description });
    const info = anyUnpack(detail, ErrorInfoSchema);
    if (info !== undefined) {
      reason = info.reason;
      metadata = info.metadata;
    }
  }
  return {
    code: value.code,
    message: value.message,
    violations,
    ...(reason === undefined ? {} : { reason }),
    ...(metadata === undefined ? {} : { metadata }),
  };
}

/** What a grpc-js handler hands to its callback: code, sentence and the encoded Status as trailing metadata. */
export function toServiceError(parts: StatusParts): Partial<ServiceError> {
  const metadata = new Metadata();
  metadata.set(DETAILS_KEY, Buffer.from(toBinary(StatusSchema, toStatus(parts))));
  return { code: parts.code, details: parts.message, message: parts.message, metadata };
}

/** The parts of an error that a grpc-js client received. */
export function fromServiceError(error: ServiceError): StatusParts {
  const encoded = error.metadata?.get(DETAILS_KEY)[0];
  if (encoded instanceof Uint8Array) {
    try {
      return fromStatus(fromBinary(StatusSchema, encoded));
    } catch {
      // Details that do not decode are dropped: code and sentence below still stand.
    }
  }
  return { code: error.code, message: error.details };
}
