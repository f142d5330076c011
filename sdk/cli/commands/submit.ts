import type { Command } from 'commander';
import { leaf } from '../global-options.ts';
import type { Host } from '../host.ts';
import { addJobOptions, type JobOptions } from '../job-options.ts';
import { note, print, printJson } from '../output.ts';
import { describeSubmitted, submitFromOptions } from '../submit.ts';

export function submitCommand(host: Host): Command {
  const command = leaf('submit', 'submit a job and return at once')
    .argument('[command...]', 'program and arguments, after --')
    .passThroughOptions()
    .option('--quiet', "print the job's number only");
  addJobOptions(command, host.env);
  return command.action((words: string[]) =>
    host.run(command, async (session) => {
      const options = command.opts<JobOptions & { quiet?: boolean }>();
      const client = await session.client();
      const { job, request } = await submitFromOptions(session, client, options, words);
      if (session.json) {
        printJson(session, job);
      } else if (options.quiet === true) {
        print(session, String(job.number));
      } else {
        print(session, describeSubmitted(job, request));
        if (session.stderr.isTTY === true) note(session, `  galley logs -f ${job.number}   galley job ${job.number}`);
      }
      return 0;
    }),
  );
}
