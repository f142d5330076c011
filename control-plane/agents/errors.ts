import type { status } from '@grpc/grpc-js';

/**
 * Why an agent is turned away or its stream ended, in a sentence for the agent's log.
 *
 * | code | cause |
 * |---|---|
 * | `INVALID_ARGUMENT` | what it sent breaks the protocol |
 * | `FAILED_PRECONDITION` | another protocol version, another cluster, an environment that does not exist |
 * | `ALREADY_EXISTS` | a live agent of another state directory has this name |
 * | `ABORTED` | a newer connection of the same agent took over |
 * | `RESOURCE_EXHAUSTED` | it does not read what it is sent |
 * | `UNAVAILABLE` | the control plane stops or reloads its state: connect again |
 */
export class AgentPlaneError extends Error {
  override readonly name = 'AgentPlaneError';
  readonly code: status;
  constructor(code: status, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
