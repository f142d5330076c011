import { countIn } from '../state-counts.ts';
import type { JobSummary } from '../types.ts';
import { stateColour } from './colours.ts';
import { formatBytes, formatExit, formatReason, formatRunTime, formatTime, formatVcpus } from './format.ts';
import { jobLabel } from './job-label.ts';
import type { Column } from './table.ts';

/** Columns of `galley jobs`. */
export function jobColumns(nowMs: number): readonly Column<JobSummary>[] {
  return [
    { header: 'JOB', align: 'right', value: jobLabel },
    { header: 'NAME', value: ({ jobName }) => jobName, flexible: true },
    { header: 'STATE', value: stateText, colour: ({ state }) => stateColour(state) },
    { header: 'QUEUE', value: ({ jobQueue }) => jobQueue, dispensable: 3 },
    { header: 'USER', value: ({ user }) => user, dispensable: 2 },
    {
      header: 'VCPU',
      align: 'right',
      value: ({ resources }) => formatVcpus(resources?.milliVcpu ?? 0),
      dispensable: 4,
    },
    {
      header: 'MEMORY',
      align: 'right',
      value: ({ resources }) => formatBytes(resources?.memoryBytes ?? 0),
      dispensable: 5,
    },
    {
      header: 'CREATED',
      value: ({ createdAtMs }) => (createdAtMs === undefined ? '' : formatTime(createdAtMs)),
      dispensable: 6,
    },
    { header: 'TIME', align: 'right', value: (job) => formatRunTime(job, nowMs) },
    { header: 'EXIT', align: 'right', value: formatExit, colour: ({ state }) => stateColour(state) },
    { header: 'NODE', value: ({ node }) => node, dispensable: 1 },
    { header: 'REASON', value: formatReason, flexible: true },
  ];
}

function stateText({ state, nodeSilent, terminateRequested, held, array }: JobSummary): string {
  if (array !== undefined && (state === 'PENDING' || state === 'SUBMITTED') && !held) {
    const over = countIn(array.statusSummary, ['succeeded', 'failed']);
    return `${state} (${over} of ${array.size} over)`;
  }
  if (held) return `${state} (held)`;
  if (terminateRequested && state === 'RUNNING') return `${state} (stopping)`;
  return nodeSilent ? `${state} (node silent)` : state;
}
