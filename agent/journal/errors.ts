export type JournalErrorCode =
  /** Another agent uses the state directory: stop that one, or give this one a directory of its own. */
  | 'LOCKED'
  /** The journal was written by another version, or its beginning is damaged. */
  | 'UNREADABLE'
  /** The journal is closed; what was not confirmed before may be lost. */
  | 'CLOSED';

/** The one error of the agent's state directory; `code` is what to switch on. */
export class JournalError extends Error {
  readonly code: JournalErrorCode;

  constructor(code: JournalErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'JournalError';
    this.code = code;
  }
}
