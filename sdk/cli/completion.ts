import type { Command } from 'commander';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/** One command as completion knows it: `queue create`, what may follow it. */
interface Entry {
  readonly path: string;
  readonly subcommands: readonly { readonly name: string; readonly description: string }[];
  readonly options: readonly {
    readonly flags: readonly string[];
    readonly description: string;
    readonly values: readonly string[];
    readonly takesValue: boolean;
  }[];
}

/** A script that completes commands, options and the fixed values of options. */
export function completionScript(shell: Shell, program: Command): string {
  const entries = flatten(program, []);
  switch (shell) {
    case 'bash':
      return bash(entries);
    case 'zsh':
      return `#compdef galley\nautoload -U +X bashcompinit && bashcompinit\n${bash(entries)}`;
    case 'fish':
      return fish(entries);
  }
}

function flatten(command: Command, path: readonly string[]): Entry[] {
  const visible = command.createHelp();
  const subcommands = visible.visibleCommands(command).map((child) => ({
    name: child.name(),
    description: child.description(),
  }));
  const entry: Entry = {
    path: path.join(' '),
    subcommands,
    options: command.options.map((option) => ({
      flags: [option.short, option.long].filter((flag) => flag !== undefined && flag !== null),
      description: option.description,
      values: option.argChoices ?? [],
      takesValue: option.required || option.optional,
    })),
  };
  return [entry, ...command.commands.flatMap((child) => flatten(child, [...path, child.name()]))];
}

/** Words of the command so far are joined into its path; a word that is no command (an argument) ends the path. */
function bash(entries: readonly Entry[]): string {
  const cases = entries.map(({ path, subcommands, options }) => {
    const words = [...subcommands.map(({ name }) => name), ...options.flatMap(({ flags }) => flags)];
    return `    '${path}') words='${words.join(' ')}' ;;`;
  });
  const paths = entries.map(({ path }) => `'${path}'`).join(' | ');
  const values = entries.flatMap(({ path, options }) =>
    options
      .filter((option) => option.values.length > 0)
      .flatMap((option) => option.flags.map((flag) => `    '${path} ${flag}') words='${option.values.join(' ')}' ;;`)),
  );
  return `_galley() {
  local current=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD - 1]} path='' next words='' index
  for ((index = 1; index < COMP_CWORD; index++)); do
    [[ \${COMP_WORDS[index]} == -- ]] && { compopt -o default; COMPREPLY=(); return; }
    next="\${path:+$path }\${COMP_WORDS[index]}"
    case $next in
    ${paths}) path=$next ;;
    esac
  done
  case "$path $before" in
${values.join('\n')}
  esac
  if [[ -z $words ]]; then
    case $path in
${cases.join('\n')}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _galley galley`;
}

function fish(entries: readonly Entry[]): string {
  const quote = (text: string) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", String.raw`\'`)}'`;
  const lines = ['complete -c galley -f'];
  for (const { path, subcommands, options } of entries) {
    const seen = path === '' ? [] : path.split(' ').map((word) => `__fish_seen_subcommand_from ${word}`);
    const names = subcommands.map(({ name }) => name).join(' ');
    const unfinished = names === '' ? seen : [...seen, `not __fish_seen_subcommand_from ${names}`];
    const condition = (parts: readonly string[]) => (parts.length === 0 ? '' : ` -n ${quote(parts.join('; and '))}`);
    for (const { name, description } of subcommands) {
      lines.push(`complete -c galley${condition(unfinished)} -a ${name} -d ${quote(description)}`);
    }
    for (const { flags, description, values, takesValue } of options) {
      const forms = flags.map((flag) => (flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`));
      const value = values.length > 0 ? ` -x -a ${quote(values.join(' '))}` : takesValue ? ' -r' : '';
      lines.push(`complete -c galley${condition(seen)} ${forms.join(' ')}${value} -d ${quote(description)}`);
    }
  }
  return lines.join('\n');
}
