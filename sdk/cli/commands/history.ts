import type { Command } from 'commander';
import type { HistoryFilter, HistoryGroupName } from '../../history.ts';
import type { AttemptRecord, HistorySummary } from '../../types.ts';
import { choice } from '../choice.ts';
import { stateColour } from '../colours.ts';
import { csvLine } from '../csv.ts';
import { formatBytes, formatDuration, formatExit, formatTime, formatVcpus } from '../format.ts';
import { leaf } from '../global-options.ts';
import type { Host, Session } from '../host.ts';
import { note, print, printJsonArray, widthOf } from '../output.ts';
import { parseInteger, parseSince } from '../parse.ts';
import { type Column, formatTable } from '../table.ts';

interface HistoryOptions {
  readonly user?: string;
  readonly queue?: string;
  readonly node?: string;
  readonly since?: number;
  readonly until?: number;
  readonly by?: HistoryGroupName;
  readonly csv?: boolean;
  readonly limit?: number;
}

const DEFAULT_LIMIT = 50;

const GROUPS = { user: 'USER', queue: 'JOB_QUEUE', definition: 'JOB_DEFINITION', node: 'NODE', day: 'DAY' } as const;

export function historyCommand(host: Host): Command {
  const command = leaf('history', 'what ran, whose it was and what it used; kept for two years')
    .option('-u, --user <login>', 'of this user')
    .option('-q, --queue <name>', 'of this queue')
    .option('--node <name>', 'on this node')
    .option('--since <time>', 'ended since: 2h, 7d, 2026-11-20', (text: string) => parseSince(text))
    .option('--until <time>', 'ended before', (text: string) => parseSince(text))
    .addOption(choice('--by <what>', 'sums by user, queue, definition, node or day', GROUPS))
    .option('--csv', 'comma-separated values, with a header line')
    .option(
      '-n, --limit <number>',
      'at most so many (default: 50, or all with --csv and --json)',
      parseInteger(1, 1e9),
    );
  return command.action(() =>
    host.run(command, async (session) => {
      const options = command.opts<HistoryOptions>();
      return options.by === undefined ? showRecords(session, options) : showSums(session, options, options.by);
    }),
  );
}

async function showRecords(session: Session, options: HistoryOptions): Promise<number> {
  const whole = session.json || options.csv === true;
  const limit = options.limit ?? (whole ? Number.POSITIVE_INFINITY : DEFAULT_LIMIT);
  const records = take(limit, (await session.client()).listAttemptRecords(toFilter(options)));
  if (session.json) {
    await printJsonArray(session, records);
  } else if (options.csv === true) {
    print(session, csvLine(RECORD_FIELDS.map(([name]) => name)));
    for await (const record of records) print(session, csvLine(RECORD_FIELDS.map(([, value]) => value(record))));
  } else {
    const rows: AttemptRecord[] = [];
    for await (const record of records) rows.push(record);
    const table = { width: widthOf(session.stdout), colours: session.colours };
    for (const line of formatTable(rows, RECORD_COLUMNS, table)) print(session, line);
    if (rows.length === 0)
      note(session, 'nothing has run yet, or nothing that matches; `galley jobs` shows what waits');
    else if (rows.length === limit) note(session, `the newest ${limit}; more with --limit, all with --csv`);
  }
  return 0;
}

async function showSums(session: Session, options: HistoryOptions, by: HistoryGroupName): Promise<number> {
  const sums = await (await session.client()).summarizeAttemptRecords(by, toFilter(options));
  if (session.json) {
    await printJsonArray(session, sums);
  } else if (options.csv === true) {
    print(session, csvLine(SUM_FIELDS.map(([name]) => name)));
    for (const sum of sums) print(session, csvLine(SUM_FIELDS.map(([, value]) => value(sum))));
  } else {
    const table = { width: widthOf(session.stdout), colours: session.colours };
    for (const line of formatTable(sums, sumColumns(by), table)) print(session, line);
    if (sums.length === 0) note(session, 'nothing has run yet, or nothing that matches');
  }
  return 0;
}

function toFilter({ user, queue, node, since, until }: HistoryOptions): HistoryFilter {
  return {
    ...(user === undefined ? {} : { user }),
    ...(queue === undefined ? {} : { jobQueue: queue }),
    ...(node === undefined ? {} : { node }),
    ...(since === undefined ? {} : { sinceMs: since }),
    ...(until === undefined ? {} : { untilMs: until }),
  };
}

async function* take<T>(limit: number, items: AsyncIterable<T>): AsyncGenerator<T> {
  let taken = 0;
  for await (const item of items) {
    yield item;
    taken += 1;
    if (taken >= limit) return;
  }
}

type Field<T> = readonly [name: string, value: (item: T) => string | number | undefined];

const RECORD_FIELDS: readonly Field<AttemptRecord>[] = [
  ['number', (r) => r.number],
  ['job_id', (r) => r.jobId],
  ['attempt', (r) => r.attempt],
  ['user', (r) => r.user],
  ['job_name', (r) => r.jobName],
  ['queue', (r) => r.jobQueue],
  ['definition', (r) => r.jobDefinition],
  ['node', (r) => r.node],
  ['created_at_ms', (r) => r.createdAtMs],
  ['started_at_ms', (r) => r.startedAtMs],
  ['stopped_at_ms', (r) => r.stoppedAtMs],
  ['state', (r) => r.state],
  ['cause', (r) => r.cause],
  ['exit_code', (r) => r.exitCode],
  ['signal', (r) => r.signal],
  ['milli_vcpu', (r) => r.allocated?.milliVcpu],
  ['memory_bytes', (r) => r.allocated?.memoryBytes],
  ['peak_memory_bytes', (r) => r.peakMemoryBytes],
  ['cpu_time_us', (r) => r.cpuTimeUs],
  ['account', (r) => r.account],
];

const SUM_FIELDS: readonly Field<HistorySummary>[] = [
  ['key', (s) => s.key],
  ['attempts', (s) => s.attempts],
  ['succeeded', (s) => s.succeeded],
  ['failed', (s) => s.failed],
  ['run_seconds', (s) => s.runSeconds],
  ['allocated_vcpu_seconds', (s) => s.allocatedVcpuSeconds],
  ['used_cpu_seconds', (s) => s.usedCpuSeconds],
  ['allocated_gib_seconds', (s) => s.allocatedGibSeconds],
];

const RECORD_COLUMNS: readonly Column<AttemptRecord>[] = [
  { header: 'JOB', align: 'right', value: ({ number }) => String(number) },
  { header: 'TRY', align: 'right', value: ({ attempt }) => String(attempt), dispensable: 2 },
  { header: 'NAME', value: ({ jobName }) => jobName, flexible: true },
  { header: 'USER', value: ({ user }) => user, dispensable: 1 },
  { header: 'QUEUE', value: ({ jobQueue }) => jobQueue, dispensable: 4 },
  { header: 'NODE', value: ({ node }) => node, dispensable: 3 },
  { header: 'STATE', value: ({ state }) => state, colour: ({ state }) => stateColour(state) },
  { header: 'EXIT', align: 'right', value: formatExit },
  {
    header: 'ENDED',
    value: ({ stoppedAtMs }) => (stoppedAtMs === undefined ? '' : formatTime(stoppedAtMs)),
    dispensable: 6,
  },
  {
    header: 'TIME',
    align: 'right',
    value: ({ startedAtMs, stoppedAtMs }) =>
      startedAtMs === undefined || stoppedAtMs === undefined ? '' : formatDuration(stoppedAtMs - startedAtMs),
  },
  { header: 'VCPU', align: 'right', value: ({ allocated }) => formatVcpus(allocated?.milliVcpu ?? 0), dispensable: 5 },
  {
    header: 'CPU TIME',
    align: 'right',
    value: ({ cpuTimeUs }) => (cpuTimeUs === undefined ? '' : formatDuration(cpuTimeUs / 1000)),
  },
  {
    header: 'PEAK/MEMORY',
    align: 'right',
    value: ({ peakMemoryBytes, allocated }) =>
      `${peakMemoryBytes === undefined ? '?' : formatBytes(peakMemoryBytes)}/${formatBytes(allocated?.memoryBytes ?? 0)}`,
  },
];

function sumColumns(by: HistoryGroupName): readonly Column<HistorySummary>[] {
  const seconds = (value: number) => formatDuration(value * 1000);
  return [
    { header: by.replace('JOB_', ''), value: ({ key }) => key },
    { header: 'ATTEMPTS', align: 'right', value: ({ attempts }) => String(attempts) },
    { header: 'FAILED', align: 'right', value: ({ failed }) => String(failed) },
    { header: 'RAN', align: 'right', value: ({ runSeconds }) => seconds(runSeconds) },
    { header: 'VCPU TIME', align: 'right', value: ({ allocatedVcpuSeconds }) => seconds(allocatedVcpuSeconds) },
    { header: 'CPU USED', align: 'right', value: ({ usedCpuSeconds }) => seconds(usedCpuSeconds) },
    {
      header: 'MEMORY GiB h',
      align: 'right',
      value: ({ allocatedGibSeconds }) => (allocatedGibSeconds / 3600).toFixed(2),
    },
  ];
}
