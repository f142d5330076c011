import { JOB_UMASK } from '../users/identity.ts';

/** What the job's last shell does before it becomes the job. */
export interface JobCommand {
  readonly key: string;
  readonly argv: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Undefined: the home directory where it can be entered, else `/`. */
  readonly workingDirectory?: string;
  readonly home: string;
}

export interface Tools {
  readonly env: string;
  readonly setpriv: string;
}

/** Longer than this the kernel takes neither one argument nor one variable (MAX_ARG_STRLEN). */
export const MAXIMUM_ARGUMENT_BYTES = 131_071;
/** Arguments and environment together; the kernel's bound is a quarter of the stack limit, 2 MiB by default. */
export const MAXIMUM_COMMAND_BYTES = 1_900_000;

/**
 * Inside single quotes the shell gives no byte a meaning but the quote itself, which is closed, escaped and
 * reopened; NUL is the one byte that no argument can hold, and is refused before.
 */
export function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** The reason why the kernel could not take this command, or undefined. */
export function unacceptable(
  command: Pick<JobCommand, 'argv' | 'environment' | 'workingDirectory'>,
): string | undefined {
  if (command.argv.length === 0 || command.argv[0] === '') return 'command: must name a program, got nothing';
  let total = 0;
  const texts: [string, string][] = [
    ...command.argv.map((text, index): [string, string] => [`command[${index}]`, text]),
    ...Object.entries(command.environment).map(([name, value]): [string, string] => [
      `environment[${JSON.stringify(name)}]`,
      `${name}=${value}`,
    ]),
    ['workingDirectory', command.workingDirectory ?? ''],
  ];
  for (const [field, text] of texts) {
    const bytes = Buffer.byteLength(text);
    total += bytes + 9;
    if (text.includes('\0')) return `${field}: must not contain a NUL character`;
    if (bytes > MAXIMUM_ARGUMENT_BYTES) return `${field}: at most ${MAXIMUM_ARGUMENT_BYTES} bytes, got ${bytes}`;
  }
  for (const name of Object.keys(command.environment)) {
    if (name === '' || name.includes('=')) return `environment: ${JSON.stringify(name)} is not the name of a variable`;
  }
  if (total > MAXIMUM_COMMAND_BYTES) {
    return `command and environment: at most ${MAXIMUM_COMMAND_BYTES} bytes together, got ${total}`;
  }
  return undefined;
}

/**
 * The script that runs as the user, inside the leaf, and ends by becoming the job. It is the first to touch a path of
 * the user's: a frozen mount stops this one process. The braces make the shell read all of it before it does anything:
 * the agent cuts it off its file as soon as `started` stands. `env` sets the variables, because a shell drops those whose names
 * it could not assign to, and gives every signal its default action again. Descriptors 3 (`record`) and 4 (events)
 * are closed for the job.
 */
export function jobScript(command: JobCommand, tools: Tools): string {
  const [program = '', ...rest] = command.argv;
  const path = command.environment['PATH'] ?? '';
  // `env` would take such a name for a variable or an option; setpriv takes it as it is.
  const plain = !program.includes('=') && !program.startsWith('-');
  const lines = [
    '{',
    `umask ${JOB_UMASK}`,
    command.workingDirectory === undefined
      ? `cd ${quote(command.home)} 2>/dev/null || cd /`
      : `cd ${quote(command.workingDirectory)} 2>/dev/null || { echo 'failed directory' >&3; exit 126; }`,
    `PATH=${quote(path)}`,
    ...(plain ? [`command -v ${quote(program)} >/dev/null 2>&1 || { echo 'failed command' >&3; exit 127; }`] : []),
    `read -r uptime rest </proc/uptime`,
    `echo "started $uptime" >&3`,
    `echo "s ${command.key}" >&4`,
    [
      'exec',
      quote(tools.env),
      '-i --default-signal --',
      ...Object.entries(command.environment).map(([name, value]) => quote(`${name}=${value}`)),
      ...(plain ? [] : [quote(tools.setpriv), '--no-new-privs', '--']),
      quote(program),
      ...rest.map(quote),
      '</dev/null 3>&- 4>&-',
    ].join(' '),
    '}',
  ];
  return `${lines.join('\n')}\n`;
}
