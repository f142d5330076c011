/** Errors of containers begin with the names that AWS's agent has for them: retry rules match on these. */
export type ContainerErrorName =
  | 'CannotPullContainerError'
  | 'CannotCreateContainerError'
  | 'CannotStartContainerError'
  | 'DockerTimeoutError';

/** The attempt ends with this text as its reason. */
export class ContainerError extends Error {
  constructor(name: ContainerErrorName, message: string, options?: ErrorOptions) {
    super(`${name}: ${message}`, options);
    this.name = 'ContainerError';
  }
}

/** AWS's text: `DockerTimeoutError: Could not transition to created; timed out after waiting 4m0s`. */
export function timedOut(transition: 'created' | 'started' | 'pulled', ms: number): ContainerError {
  const seconds = Math.round(ms / 1000);
  return new ContainerError(
    'DockerTimeoutError',
    `Could not transition to ${transition}; timed out after waiting ${Math.floor(seconds / 60)}m${seconds % 60}s`,
  );
}
