import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
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

/** Builds the google.rpc.Status of an error. */
export function toStatus(parts: StatusParts): Status {
  const details: MessageInitShape<typeof StatusSchema>['details'] = [];
  if (parts.violations !== undefined && parts.violations.length > 0) {
    details.push(
      anyPack(BadRequestSchema, create(BadRequestSchema, { fieldViolations: parts.violations.map((v) => ({ ...v })) })),
    );
  }
  if (parts.reason !== undefined) {
    const info = create(ErrorInfoSchema, {
      reason: parts.reason,
      domain: ERROR_DOMAIN,
      metadata: { ...parts.metadata },
    });
    details.push(anyPack(ErrorInfoSchema, info));
  }
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
