import { GalleyError } from '../errors.ts';
import { CliError, EXIT_GALLEY, EXIT_TIMED_OUT } from './exit.ts';

/** A failure as the command line shows it. */
export interface ErrorText {
  /** One sentence, then details, a line each. */
  readonly lines: readonly string[];
  /** Commands to type next. */
  readonly hints: readonly string[];
  readonly exitCode: number;
}

/** What to say about any failure; `address` is where the command connected to, if it got so far. */
export function describeError(error: unknown, address?: string): ErrorText {
  if (error instanceof CliError) return { lines: [error.message], hints: error.hints, exitCode: error.exitCode };
  if (error instanceof GalleyError) return describeGalleyError(error, address);
  if (isExpected(error)) return { lines: [error.message], hints: [], exitCode: EXIT_GALLEY };
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { lines: [`this is a bug in galley: ${text}`], hints: [], exitCode: EXIT_GALLEY };
}

/** Errors with a code of letters are somebody's answer (`EACCES`, a server's `PORT_IN_USE`), with a sentence. */
function isExpected(error: unknown): error is Error & { readonly code: string } {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && !error.code.startsWith('ERR_');
}

function describeGalleyError(error: GalleyError, address: string | undefined): ErrorText {
  const { lines, hints = [] } = sentence(error, address);
  const exitCode = error.code === 'WAIT_TIMED_OUT' ? EXIT_TIMED_OUT : EXIT_GALLEY;
  return { lines, hints, exitCode };
}

function sentence(error: GalleyError, address = 'the control plane'): { lines: string[]; hints?: string[] } {
  switch (error.code) {
    case 'NOT_CONFIGURED':
      return { lines: [error.message], hints: ['galley up', 'galley --address HOST:PORT ...'] };
    case 'UNAVAILABLE':
      return {
        lines: [`the control plane at ${address} cannot be reached: ${connectionProblem(error.message)}`],
        hints: ['galley status', 'galley up'],
      };
    case 'DEADLINE_EXCEEDED':
      return { lines: [`${address} did not answer in time: ${error.message}`], hints: ['galley status'] };
    case 'UNAUTHENTICATED':
      return {
        lines: [`${address} does not accept this credential: ${error.message}`],
        hints: ['galley --data-dir DIRECTORY ...   (reads the token there)', 'GALLEY_TOKEN=... galley ...'],
      };
    case 'INVALID_ARGUMENT':
      if (error.violations.length === 0) return { lines: [error.message] };
      return {
        lines: ['the request was refused', ...error.violations.map((v) => `  ${v.field}: ${v.description}`)],
      };
    case 'OUTCOME_UNKNOWN':
      return { lines: [error.message, 'it may or may not have been done: look before you repeat it'] };
    case 'UNIMPLEMENTED':
      return { lines: [`the control plane at ${address} does not know this request: ${error.message}`] };
    case 'INTERNAL':
    case 'UNKNOWN':
    case 'DATA_LOSS':
      return { lines: [`${address} failed: ${error.message}`], hints: ['galley status'] };
    case 'BAD_ANSWER':
      return { lines: [`${address} gave an answer that makes no sense: ${error.message}`], hints: ['galley version'] };
    case 'ABORTED':
    case 'ALREADY_EXISTS':
    case 'CANCELLED':
    case 'FAILED_PRECONDITION':
    case 'NOT_FOUND':
    case 'OUT_OF_RANGE':
    case 'PERMISSION_DENIED':
    case 'RESOURCE_EXHAUSTED':
    case 'WAIT_TIMED_OUT':
      return { lines: [error.message] };
  }
}

/** What grpc-js wraps around the one thing that matters: `connect ECONNREFUSED 127.0.0.1:8642`. */
function connectionProblem(message: string): string {
  return /Last error: Error: (.*?)\.? Resolution note:/.exec(message)?.[1] ?? message;
}

/** The same for programs, on stderr under `--json`. */
export function errorJson(error: unknown): object {
  if (error instanceof GalleyError) {
    const { code, message, violations, reason } = error;
    return { error: { code, message, ...(reason === undefined ? {} : { reason }), violations } };
  }
  if (error instanceof CliError) return { error: { code: 'USAGE', message: error.message } };
  return { error: { code: 'BUG', message: error instanceof Error ? error.message : String(error) } };
}
