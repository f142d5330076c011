import { Command } from 'commander';
import { agentCommand } from './commands/agent.ts';
import { cancelCommand } from './commands/cancel.ts';
import { jobCommand } from './commands/job.ts';
import { jobsCommand } from './commands/jobs.ts';
import { logsCommand } from './commands/logs.ts';
import { runCommand } from './commands/run.ts';
import { serverCommand } from './commands/server.ts';
import { submitCommand } from './commands/submit.ts';
import { versionCommand } from './commands/version.ts';
import { waitCommand } from './commands/wait.ts';
import { addGlobalOptions } from './global-options.ts';
import type { Host } from './host.ts';

const AFTER_HELP = `
Jobs are named by number, id, the first characters of an id, or @last.

Exit codes: 0 done; run and wait exit as the job, 128+n when signal n ended it; 124 wait --timeout;
125 Galley's own failure (usage, control plane unreachable, refused); 128+n when signal n ended this command.
`;

/** The tree of commands. */
export function createProgram(host: Host): Command {
  const program = new Command('galley')
    .description('AWS Batch for machines you own')
    .enablePositionalOptions()
    .showSuggestionAfterError()
    .addHelpText('after', AFTER_HELP);
  addGlobalOptions(program, false);

  program.commandsGroup('Jobs:');
  for (const make of [submitCommand, runCommand, jobsCommand, jobCommand, logsCommand, waitCommand, cancelCommand]) {
    program.addCommand(make(host));
  }
  program.commandsGroup('Services:');
  for (const make of [serverCommand, agentCommand]) program.addCommand(make(host));
  program.commandsGroup('Other:');
  program.addCommand(versionCommand(host));
  configure(program, host);
  return program;
}

/** Commander must neither end the process nor write past the host; both hold for each command of its own. */
function configure(command: Command, host: Host): void {
  command.exitOverride().configureOutput({
    writeOut: (text) => host.stdout.write(text),
    writeErr: (text) => host.stderr.write(text),
    outputError: (text, write) => write(text.replace(/^error: /, 'galley: ')),
    getOutHelpWidth: () => host.stdout.columns ?? 100,
    getErrHelpWidth: () => host.stderr.columns ?? 100,
  });
  for (const child of command.commands) configure(child, host);
}
