import { type Command, Option } from 'commander';
import type { JobStateName, JobSummary } from '../../types.ts';
import { leaf } from '../global-options.ts';
import type { Host } from '../host.ts';
import { toServerReference } from '../job-reference.ts';
import { jobColumns } from '../job-table.ts';
import { collect, note, print, printJsonArray, widthOf } from '../output.ts';
import { collectList, parseInteger, parseSince } from '../parse.ts';
import { formatTable } from '../table.ts';

interface JobsOptions {
  readonly state?: readonly string[];
  readonly queue?: string;
  readonly user?: string;
  readonly name?: string;
  readonly definition?: string;
  readonly since?: number;
  readonly limit: number;
  readonly all?: boolean;
  readonly children?: string;
}

const STATES = ['SUBMITTED', 'PENDING', 'RUNNABLE', 'STARTING', 'RUNNING', 'SUCCEEDED', 'FAILED'] as const;
const ALIVE = STATES.slice(0, 5);
const DEFAULT_LIMIT = 50;

export function jobsCommand(host: Host): Command {
  const command = leaf('jobs', 'list jobs, newest first')
    .addOption(
      new Option('-s, --state <state>', 'in this state, or "alive"; may be repeated').argParser(
        (text: string, before: readonly string[] | undefined) => collectList(text.toUpperCase(), before),
      ),
    )
    .option('--children <job>', 'the children of this array instead, by index; of the filters only --state applies')
    .option('-q, --queue <name>', 'in this queue')
    .option('-u, --user <login>', 'of this user')
    .option('-N, --name <name>', 'of this name; a trailing * matches the rest')
    .option('-d, --definition <name>', 'of this definition')
    .option('--since <time>', 'created since: 2h, 7d, 2026-11-20', (text: string) => parseSince(text))
    .option('-n, --limit <number>', 'at most so many', parseInteger(1, 1_000_000), DEFAULT_LIMIT)
    .option('-a, --all', 'all of them');
  return command.action(() =>
    host.run(command, async (session) => {
      const options = command.opts<JobsOptions>();
      const limit = options.all === true ? Number.POSITIVE_INFINITY : options.limit;
      const client = await session.client();
      const states = toStates(command, options.state ?? []);
      const pageSize = Number.isFinite(limit) ? Math.min(1_000, limit + 1) : 0;
      const list = (): AsyncIterable<JobSummary> => {
        if (options.children !== undefined) {
          return client.listChildren(toServerReference(session, client, options.children), { states, pageSize });
        }
        return client.listJobs({
          states,
          ...(options.queue === undefined ? {} : { jobQueue: options.queue }),
          ...(options.user === undefined ? {} : { user: options.user }),
          ...(options.name === undefined ? {} : { jobName: options.name }),
          ...(options.definition === undefined ? {} : { jobDefinition: options.definition }),
          ...(options.since === undefined ? {} : { createdAfterMs: options.since }),
          pageSize,
        });
      };
      const jobs = take(limit, list());
      if (session.json) {
        await printJsonArray(session, jobs);
        return 0;
      }
      const rows = await collect(jobs);
      const table = formatTable(rows, jobColumns(Date.now()), {
        width: widthOf(session.stdout),
        colours: session.colours,
      });
      for (const line of table) print(session, line);
      if (rows.length === 0) note(session, emptyText(options));
      else if (rows.length === limit)
        note(
          session,
          `the ${options.children === undefined ? 'newest' : 'first'} ${limit}; more with --limit or --all`,
        );
      return 0;
    }),
  );
}

async function* take(limit: number, jobs: AsyncIterable<JobSummary>): AsyncGenerator<JobSummary> {
  let taken = 0;
  for await (const job of jobs) {
    yield job;
    taken += 1;
    if (taken >= limit) return;
  }
}

function toStates(command: Command, texts: readonly string[]): JobStateName[] {
  return texts.flatMap((text): readonly JobStateName[] => {
    if (text === 'ALIVE') return ALIVE;
    const state = STATES.find((name) => name === text);
    if (state === undefined) {
      const known = STATES.map((name) => name.toLowerCase()).join(', ');
      command.error(`error: option '--state' argument '${text}' is invalid. Known are ${known} and alive.`);
    }
    return [state];
  });
}

function emptyText({ state, queue, user, name, definition, since }: JobsOptions): string {
  return [state, queue, user, name, definition, since].some((filter) => filter !== undefined)
    ? 'no job matches; `galley jobs` lists all'
    : 'no jobs yet; submit one: galley submit -- echo hello';
}
