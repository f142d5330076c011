import { countIn, LIVE_STATES } from '../../state-counts.ts';
import type { ClusterStatus, JobSummary, Node } from '../../types.ts';
import { type Colours, stateColour } from '../colours.ts';
import { count, formatBytes, formatDuration, formatRunTime, formatVcpus } from '../format.ts';
import { type Column, formatTable } from '../table.ts';
import type { Throughput } from './throughput.ts';

/** What the screen shows; everything as of one moment. */
export interface Sample {
  readonly atMs: number;
  readonly address: string;
  readonly status: ClusterStatus;
  /** The first of them by name, and of running jobs the newest. */
  readonly nodes: readonly Node[];
  readonly running: readonly JobSummary[];
}

export interface ScreenOptions {
  readonly width: number;
  /** Lines in all; a table that is longer says how much is missing. */
  readonly height: number;
  readonly colours: Colours;
  readonly throughput?: { readonly of: Throughput; readonly nowMs: number } | undefined;
}

/** Of the lines that the two tables share, nodes have at most this part. */
const NODES_SHARE = 0.4;

const NODES: readonly Column<Node>[] = [
  { header: 'NODE', value: ({ name }) => name, flexible: true },
  { header: 'STATE', value: ({ state }) => state, colour: ({ state }) => stateColour(state) },
  { header: 'JOBS', align: 'right', value: ({ runningAttempts }) => String(runningAttempts) },
  { header: 'VCPU', align: 'right', value: (node) => part(node, 'milliVcpu', formatVcpus) },
  { header: 'MEMORY', align: 'right', value: (node) => part(node, 'memoryBytes', formatBytes) },
  { header: 'LOAD', align: 'right', value: ({ usage }) => usage?.load1m.toFixed(2) ?? '' },
  { header: 'CPU', align: 'right', value: cpuText },
  { header: 'AVAILABLE', align: 'right', value: ({ usage }) => (usage ? formatBytes(usage.memoryAvailableBytes) : '') },
];

/** Lines of the screen. */
export function drawScreen(sample: Sample, options: ScreenOptions): string[] {
  const { atMs, status, nodes, running } = sample;
  const head = heading(sample, options);
  const room = Math.max(6, options.height - head.length - 2);
  const forNodes = Math.min(nodes.length + 1, Math.max(3, Math.floor(room * NODES_SHARE)));
  const jobs: readonly Column<JobSummary>[] = [
    { header: 'JOB', align: 'right', value: ({ number }) => String(number) },
    { header: 'NAME', value: ({ jobName }) => jobName, flexible: true },
    { header: 'QUEUE', value: ({ jobQueue }) => jobQueue },
    { header: 'USER', value: ({ user }) => user },
    { header: 'NODE', value: ({ node }) => node, flexible: true },
    { header: 'VCPU', align: 'right', value: ({ resources }) => formatVcpus(resources?.milliVcpu ?? 0) },
    { header: 'MEMORY', align: 'right', value: ({ resources }) => formatBytes(resources?.memoryBytes ?? 0) },
    { header: 'TIME', align: 'right', value: (job) => formatRunTime(job, atMs) },
  ];
  return [
    ...head,
    '',
    ...table(nodes, NODES, forNodes, status.nodes, 'node', options),
    '',
    ...table(running, jobs, room - forNodes, countIn(status.liveJobs, ['running']), 'running job', options),
  ].slice(0, options.height);
}

function heading({ atMs, address, status }: Sample, { colours, throughput }: ScreenOptions): string[] {
  const { startedAtMs, liveJobs, endedJobs, capacity, allocated } = status;
  const up = startedAtMs === undefined ? '' : `, up ${formatDuration(atMs - startedAtMs)}`;
  const live = LIVE_STATES.map((state) => `${countIn(liveJobs, [state])} ${state}`);
  const cpu = `${formatVcpus(allocated?.milliVcpu ?? 0)} of ${formatVcpus(capacity?.milliVcpu ?? 0)} vCPU`;
  const memory = `${formatBytes(allocated?.memoryBytes ?? 0)} of ${formatBytes(capacity?.memoryBytes ?? 0)}`;
  return [
    `${colours('bold', `galley ${address}`)}${up}, ${status.readyNodes} of ${count(status.nodes, 'node')} ready`,
    `Jobs       ${[...live, `${endedJobs} ended`].join(', ')}`,
    `Allocated  ${cpu}, ${memory}`,
    ...(throughput === undefined ? [] : [`Ended      ${throughputText(throughput)}`]),
    ...status.pauses.map(({ message }) => colours('yellow', `Paused: ${message}`)),
  ];
}

function throughputText({ of, nowMs }: NonNullable<ScreenOptions['throughput']>): string {
  const [short, long] = [of.over(10, nowMs), of.over(60, nowMs)];
  const failed = long.failed === 0 ? '' : `, ${long.failed} failed in 60 s`;
  return `${short.ended.toFixed(1)}/s in 10 s, ${long.ended.toFixed(1)}/s in 60 s${failed}; ${short.started.toFixed(1)}/s started`;
}

/** At most `lines` lines, of which the last says what is missing. */
function table<T>(
  rows: readonly T[],
  columns: readonly Column<T>[],
  lines: number,
  total: number,
  noun: string,
  { width, colours }: ScreenOptions,
): string[] {
  if (rows.length === 0) return [`no ${noun}s`];
  const fits = Math.min(rows.length, Math.max(1, total > lines - 1 || rows.length > lines - 1 ? lines - 2 : lines - 1));
  const more = Math.max(total, rows.length) - fits;
  const shown = formatTable(rows.slice(0, fits), columns, { width, colours });
  return more > 0 ? [...shown, `and ${count(more, `more ${noun}`)}`] : shown;
}

function part(node: Node, key: 'milliVcpu' | 'memoryBytes', format: (value: number) => string): string {
  return `${format(node.allocated?.[key] ?? 0)}/${format(node.capacity?.[key] ?? 0)}`;
}

/** Of all its cores, whoever uses them. */
function cpuText({ usage, inventory }: Node): string {
  const cores = inventory?.cores ?? 0;
  return usage === undefined || cores === 0 ? '' : `${Math.round(usage.cpuMilliUsed / cores / 10)} %`;
}
