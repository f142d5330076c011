import { Command, Option } from 'commander';

/** What every command takes. */
export interface GlobalOptions {
  readonly address?: string;
  readonly token?: string;
  readonly dataDir?: string;
  readonly config?: string;
  readonly account?: string;
  readonly json?: boolean;
  readonly color?: boolean;
}

/** A command with the options that all commands share. They are hidden in its help, and shown in the program's. */
export function leaf(name: string, description: string): Command {
  return addGlobalOptions(new Command(name).description(description), true);
}

export function addGlobalOptions(command: Command, hidden: boolean): Command {
  const options = [
    new Option('--address <host:port>', 'control plane (GALLEY_ADDRESS)'),
    new Option('--token <token>', 'credential (GALLEY_TOKEN; safer there: other users see command lines)'),
    new Option('--data-dir <directory>', 'data directory of a control plane on this machine (GALLEY_DATA_DIR)'),
    new Option('--config <file>', 'configuration file (default: ~/.config/galley/config.json)'),
    new Option('--account <name>', 'account (default: default)'),
    new Option('--json', 'print JSON: one value, an array for a list, a line per item for a stream'),
  ];
  for (const option of options) command.addOption(hidden ? option.hideHelp() : option);
  // Alone, `--no-color` would be true by default in every command and its parents, and that would overrule who says it.
  command.addOption(new Option('--color', 'colour, wherever the output goes').hideHelp());
  const noColour = new Option('--no-color', 'no colour (NO_COLOR)');
  return command.addOption(hidden ? noColour.hideHelp() : noColour);
}
