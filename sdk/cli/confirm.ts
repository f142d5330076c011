import { createInterface } from 'node:readline/promises';
import { CliError } from './exit.ts';
import type { Session } from './host.ts';

/** Asks a person; where nobody sits at the terminal, `--yes` must have been said. Throws a CliError when it is not to be. */
export async function confirm(session: Session, question: string): Promise<void> {
  if (!process.stdin.isTTY || session.stderr.isTTY !== true) {
    throw new CliError(`${question} Nobody can be asked here: say --yes`);
  }
  const terminal = createInterface({ input: process.stdin, output: session.stderr });
  try {
    const answer = await terminal.question(`${question} [y/N] `);
    if (!/^y(es)?$/i.test(answer.trim())) throw new CliError('not confirmed; nothing was done');
  } finally {
    terminal.close();
  }
}
