import { CommanderError } from 'commander';
import { describeError, errorJson } from './error-text.ts';
import { EXIT_GALLEY } from './exit.ts';
import { createHost, type HostOptions } from './host.ts';
import { note } from './output.ts';
import { createProgram } from './program.ts';

/** Runs one command line (without `node` and the script) and returns its exit code. Never throws. */
export async function runCli(words: readonly string[], options: HostOptions): Promise<number> {
  const host = createHost(options);
  const program = createProgram(host);
  try {
    await program.parseAsync(words, { from: 'user' });
    return host.exitCode;
  } catch (error) {
    // Commander has said its sentence by then; help and version end with code 0.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_GALLEY;
    if (host.json) {
      note(options, JSON.stringify(errorJson(error)));
      return describeError(error).exitCode;
    }
    const { lines, hints, exitCode } = describeError(error, host.address);
    note(options, `galley: ${lines.join('\n')}`);
    for (const hint of hints) note(options, `  ${hint}`);
    return exitCode;
  }
}
