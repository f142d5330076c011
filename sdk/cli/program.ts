import { Command } from 'commander';
import { agentCommand } from './commands/agent.ts';
import { applyCommand } from './commands/apply.ts';
import { backupCommand } from './commands/backup.ts';
import { cancelCommand } from './commands/cancel.ts';
import { completionCommand } from './commands/completion.ts';
import { definitionCommand } from './commands/definition.ts';
import { demoCommand } from './commands/demo.ts';
import { downCommand } from './commands/down.ts';
import { environmentCommand } from './commands/environment.ts';
import { eventsCommand } from './commands/events.ts';
import { exportCommand } from './commands/export.ts';
import { historyCommand } from './commands/history.ts';
import { jobCommand } from './commands/job.ts';
import { jobsCommand } from './commands/jobs.ts';
import { logsCommand } from './commands/logs.ts';
import { nodeCommand } from './commands/node.ts';
import { nodesCommand } from './commands/nodes.ts';
import { pauseCommand } from './commands/pause.ts';
import { queueCommand } from './commands/queue.ts';
import { rerunCommand } from './commands/rerun.ts';
import { restoreCommand } from './commands/restore.ts';
import { resumeCommand } from './commands/resume.ts';
import { runCommand } from './commands/run.ts';
import { serverCommand } from './commands/server.ts';
import { statusCommand } from './commands/status.ts';
import { submitCommand } from './commands/submit.ts';
import { topCommand } from './commands/top.ts';
import { upCommand } from './commands/up.ts';
import { versionCommand } from './commands/version.ts';
import { waitCommand } from './commands/wait.ts';
import { addGlobalOptions } from './global-options.ts';
import type { Host } from './host.ts';

const AFTER_HELP = `
Jobs are named by number, id, the first characters of an id, or @last; 12:7 is child 7 of array 12.

Exit codes: 0 done; run and wait exit as the job, 128+n when signal n ended it; 124 wait --timeout;
125 Galley's own failure (usage, control plane unreachable, refused); 128+n when signal n ended this command.
`;

const GROUPS: readonly (readonly [string, readonly ((host: Host) => Command)[]])[] = [
  [
    'Jobs:',
    [submitCommand, runCommand, jobsCommand, jobCommand, logsCommand, waitCommand, cancelCommand, rerunCommand],
  ],
  [
    'Cluster:',
    [statusCommand, topCommand, nodesCommand, nodeCommand, eventsCommand, pauseCommand, resumeCommand, historyCommand],
  ],
  ['Resources:', [queueCommand, environmentCommand, definitionCommand, applyCommand, exportCommand]],
  ['This machine:', [upCommand, downCommand, serverCommand, agentCommand, backupCommand, restoreCommand]],
  ['Other:', [demoCommand, versionCommand]],
];

/** The tree of commands. */
export function createProgram(host: Host): Command {
  const program = new Command('galley')
    .description('AWS Batch for machines you own')
    .enablePositionalOptions()
    .showSuggestionAfterError()
    .addHelpText('after', AFTER_HELP);
  addGlobalOptions(program, false);

  for (const [heading, makers] of GROUPS) {
    program.commandsGroup(heading);
    for (const make of makers) program.addCommand(make(host));
  }
  program.addCommand(completionCommand(host, () => program));
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
