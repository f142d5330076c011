import { fromServiceError } from '@galley/proto';
import { type ServiceError, status } from '@grpc/grpc-js';

export type AgentErrorCode =
  /** An option is out of range. */
  | 'INVALID_OPTION'
  /** The control plane refuses the token. */
  | 'TOKEN_REFUSED'
  /** The state directory belongs to another cluster. */
  | 'OTHER_CLUSTER'
  /** No version of the protocol is spoken by both sides. */
  | 'PROTOCOL_MISMATCH'
  /** The control plane refuses this agent for good; the message says why. */
  | 'REFUSED';

/** What an agent cannot go on with: one sentence for the operator, exit code 1. Jobs that run go on. */
export class AgentError extends Error {
  readonly code: AgentErrorCode;

  constructor(code: AgentErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'AgentError';
    this.code = code;
  }
}

/**
 * Whether the end of a stream is for good. Undefined: try again. A refusal counts only as the answer to the hello: in the
 * middle of a session it is one message's fault, and what really is refused is refused again with the next hello.
 */
export function fatalError(error: ServiceError, address: string, greeted: boolean): AgentError | undefined {
  const { message } = fromServiceError(error);
  switch (error.code) {
    case status.UNAUTHENTICATED:
    case status.PERMISSION_DENIED:
      return new AgentError('TOKEN_REFUSED', `The control plane at ${address} refuses this agent's token: ${message}`, {
        cause: error,
      });
    case status.FAILED_PRECONDITION:
    case status.INVALID_ARGUMENT:
      if (greeted) return undefined;
      return new AgentError('REFUSED', `The control plane at ${address} refuses this agent: ${message}`, {
        cause: error,
      });
    default:
      return undefined;
  }
}
