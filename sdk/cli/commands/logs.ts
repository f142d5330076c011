import type { Command } from 'commander';
import type { LogStreamName } from '../../logs.ts';
import { isTerminal } from '../../types.ts';
import { choice } from '../choice.ts';
import { CliError } from '../exit.ts';
import { leaf } from '../global-options.ts';
import type { Host } from '../host.ts';
import { untilInterrupted } from '../interrupt.ts';
import { jobLabel } from '../job-label.ts';
import { findJob, JOB_REFERENCE_HELP } from '../job-reference.ts';
import { followStream, printChunks, streamsOf } from '../log-printer.ts';
import { note } from '../output.ts';
import { parseInteger } from '../parse.ts';

interface LogsOptions {
  readonly follow?: boolean;
  readonly lines?: number;
  readonly attempt?: number;
  readonly stream?: LogStreamName;
}

const STREAMS = { stdout: 'STDOUT', stderr: 'STDERR', output: 'OUTPUT' } as const;
const MAX_TAIL_LINES = 100_000;

export function logsCommand(host: Host): Command {
  const command = leaf('logs', 'print what a job has written')
    .argument('<job>', JOB_REFERENCE_HELP)
    .option('-f, --follow', 'go on until the job is over')
    .option('-n, --lines <number>', 'begin with the last so many lines', parseInteger(1, MAX_TAIL_LINES))
    .option('--attempt <number>', 'of this attempt (default: the latest)', parseInteger(1, 1000))
    .addOption(choice('--stream <name>', 'of a job with separate streams (default: both)', STREAMS));
  return command.action((reference: string) =>
    host.run(command, async (session) => {
      const { follow = false, lines, attempt, stream } = command.opts<LogsOptions>();
      const client = await session.client();
      const job = await findJob(session, client, reference);
      const { jobId, state, attempts, array } = job.summary;
      const number = jobLabel(job.summary);
      if (array !== undefined) {
        throw new CliError(`job ${number} is an array; each of its children has a log of its own`, [
          `galley logs ${number}:0`,
          `galley jobs --children ${number}`,
        ]);
      }
      const written = streamsOf(job);
      if (stream !== undefined && !written.includes(stream)) {
        const names = written.map((name) => name.toLowerCase()).join(' and ');
        throw new CliError(`job ${number} writes ${names}, not ${stream.toLowerCase()}`, [`galley logs ${number}`]);
      }
      const streams = stream === undefined ? written : [stream];
      const selection = {
        ...(attempt === undefined ? {} : { attempt }),
        ...(lines === undefined ? {} : { tailLines: lines }),
      };
      if (attempts === 0 && job.attempts.length === 0 && (!follow || isTerminal(state))) {
        note(session, `job ${number} is ${state} and has written nothing yet; see \`galley job ${number}\``);
        return 0;
      }
      const over = isTerminal(state);
      if (!follow && !over) {
        for (const each of streams) {
          await printChunks(session, client.readWholeLog(jobId, { ...selection, stream: each }), each);
        }
        return 0;
      }
      // The end of a job is known before the last bytes of its log have arrived: that is what its end is waited for.
      const goesOn = () => (over ? [] : [`job ${number} goes on; end it with \`galley cancel ${number}\``]);
      return untilInterrupted(session, goesOn, async (signal) => {
        if (attempts === 0) await client.waitForStart(jobId, { signal });
        const options = { ...selection, allAttempts: follow && attempt === undefined, signal };
        await Promise.all(streams.map((each) => followStream(session, client, jobId, { ...options, stream: each })));
        return 0;
      });
    }),
  );
}
