// What a script can rely on.

/** Galley's own failure: bad usage, an unreachable control plane, a refusal, or a job that ended without a code. */
export const EXIT_GALLEY = 125;
/** `wait --timeout` ran out. */
export const EXIT_TIMED_OUT = 124;
/** A job, or Galley itself, that was ended by signal n. */
export const EXIT_SIGNAL_BASE = 128;

/** A failure that is said in one sentence, with what to do next on lines of its own. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly hints: readonly string[];
  readonly exitCode: number;

  constructor(message: string, hints: readonly string[] = [], exitCode = EXIT_GALLEY) {
    super(message);
    this.hints = hints;
    this.exitCode = exitCode;
  }
}

/** Signals that end a command, with their numbers. */
export const SIGNAL_NUMBERS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;
