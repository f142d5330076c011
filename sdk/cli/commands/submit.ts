import type { Command } from 'commander';
import { CliError } from '../exit.ts';
import { leaf } from '../global-options.ts';
import type { Host } from '../host.ts';
import { addArrayOptions, addJobOptions, type JobOptions } from '../job-options.ts';
import { note, print, printJson } from '../output.ts';
import { describeSubmitted, submitFromOptions } from '../submit.ts';

export function submitCommand(host: Host): Command {
  const command = leaf('submit', 'submit a job and return at once')
    .argument('[command...]', 'program and arguments, after --')
    .passThroughOptions()
    .option('--quiet', "print the job's number only")
    .option('-f, --file <file>', 'submit the jobs of a YAML or JSON file, all or none; - is the standard input')
    .option('--dry-run', 'with --file: print what would be submitted')
    .option(
      '--request-id <text>',
      'with --file: the same file under the same id is submitted once (default: a new one)',
    );
  addArrayOptions(addJobOptions(command, host.env));
  return command.action((words: string[]) =>
    host.run(command, async (session) => {
      const options = command.opts<JobOptions & { quiet?: boolean } & FileOptions>();
      if (options.file !== undefined) {
        requireFileAlone(command, words);
        const { submitFile } = await import('../job-file/submit-file.ts');
        return submitFile(session, { ...options, file: options.file });
      }
      if (options.dryRun === true || options.requestId !== undefined) {
        throw new CliError('--dry-run and --request-id go with --file', ['galley submit -f jobs.yaml --dry-run']);
      }
      const client = await session.client();
      const { job, request } = await submitFromOptions(session, client, options, words);
      if (session.json) {
        printJson(session, job);
      } else if (options.quiet === true) {
        print(session, String(job.number));
      } else {
        print(session, describeSubmitted(job, request));
        const follow = request.array === undefined ? 'logs -f' : 'wait';
        if (session.stderr.isTTY === true) note(session, `  galley ${follow} ${job.number}   galley job ${job.number}`);
      }
      return 0;
    }),
  );
}

interface FileOptions {
  readonly file?: string;
  readonly dryRun?: boolean;
  readonly requestId?: string;
}

const BESIDE_FILE = new Set(
  ['file', 'dryRun', 'requestId', 'quiet'].concat('json', 'color', 'address', 'token', 'dataDir', 'config', 'account'),
);

/** Options that describe a job would be silently ignored beside a file that describes them. */
function requireFileAlone(command: Command, words: readonly string[]): void {
  const other = command.options.find((option) => {
    const name = option.attributeName();
    return !BESIDE_FILE.has(name) && command.getOptionValueSource(name) === 'cli';
  });
  const what = other?.long ?? (words.length > 0 ? 'a command' : undefined);
  if (what !== undefined)
    throw new CliError(`${what} cannot go with --file: write it into the file, under jobs or defaults`);
}
