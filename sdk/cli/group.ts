import { Command } from 'commander';
import { addGlobalOptions } from './global-options.ts';

/** A command that only holds others: `galley queue ...`. Without one of them it shows its help and fails. */
export function group(name: string, description: string, commands: readonly Command[]): Command {
  const parent = addGlobalOptions(new Command(name).description(description).enablePositionalOptions(), true);
  for (const command of commands) parent.addCommand(command);
  return parent;
}
