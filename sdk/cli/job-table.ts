import type { JobSummary } from '../types.ts';
import { stateColour } from './colours.ts';
import { formatBytes, formatExit, formatReason, formatRunTime, formatTime, formatVcpus } from './format.ts';
import type { Column } from './table.ts';

/** Columns of `galley jobs`. */
export function jobColumns(nowMs: number): readonly Column<JobSummary>[] {
  return [
    { header: 'JOB', align: 'right', value: ({ number }) => String(number) },
    { header: 'NAME', value: ({ jobName }) => jobName, flexible: true },
    { header: 'STATE', value: stateText, colour: ({ state }) => stateColour(state) },
    { header: 'QUEUE', value: ({ jobQueue }) => jobQueue },
    { header: 'USER', value: ({ user }) => user },
    { header: 'VCPU', align: 'right', value: ({ resources }) => formatVcpus(resources?.milliVcpu ?? 0) },
    { header: 'MEMORY', align: 'right', value: ({ resources }) => formatBytes(resources?.memoryBytes ?? 0) },
    { header: 'CREATED', value: ({ createdAtMs }) => (createdAtMs === undefined ? '' : formatTime(createdAtMs)) },
    { header: 'TIME', align: 'right', value: (job) => formatRunTime(job, nowMs) },
    { header: 'EXIT', align: 'right', value: formatExit, colour: ({ state }) => stateColour(state) },
    { header: 'NODE', value: ({ node }) => node },
    { header: 'REASON', value: formatReason, flexible: true },
  ];
}

function stateText({ state, nodeSilent, terminateRequested, held }: JobSummary): string {
  if (held) return `${state} (held)`;
  if (terminateRequested && state === 'RUNNING') return `${state} (stopping)`;
  return nodeSilent ? `${state} (node silent)` : state;
}
