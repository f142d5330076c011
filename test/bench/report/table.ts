import { rounded } from '../stats.ts';
import type { BenchReport, Document, Row } from '../types.ts';
import { formatTable } from './columns.ts';

const LISTED_SHARES = 12;

/** The document for people. */
export function printDocument(document: Document): string {
  const { host, seconds, quick, benches, stalls } = document;
  const rows = [...benches.flatMap((bench) => bench.rows), ...stalls];
  return [
    `node ${host.node}, ${host.cpus} CPUs (${host.cpuModel}), ${host.memoryMiB} MiB, Linux ${host.kernel}; ${seconds} s`,
    ...(quick ? ['QUICK: short rounds, not to be quoted'] : []),
    '',
    ...formatTable(['', 'OURS', 'FLOOR', 'RATIO', 'TARGET', '', 'THE FLOOR IS'], rows.map(cells)),
    '',
    'Where the time goes',
    ...benches.flatMap(explain),
  ].join('\n');
}

function cells({ what, unit, value, floor, target }: Row): string[] {
  return [
    what,
    `${figure(value)} ${unit}`,
    floor === undefined ? '' : `${figure(floor.value)} ${unit}`,
    floor === undefined ? '' : floor.ratio < 1 ? `${rounded(floor.ratio * 100)} %` : `${floor.ratio} x`,
    target?.text ?? '',
    target === undefined ? '' : target.met ? 'met' : 'MISSED',
    floor?.what ?? '',
  ];
}

function figure(value: number): string {
  return value.toLocaleString('en-US', { maximumSignificantDigits: 3 });
}

function explain({ name, detail, processes, profiles, rows }: BenchReport): string[] {
  const lines = [`  ${name}`];
  for (const row of rows) {
    if (row.rounds.length > 1)
      lines.push(`    rounds of ${row.name}: ${row.rounds.map(figure).join(', ')} ${row.unit}`);
  }
  const figures = Object.entries(detail).map(([key, value]) => `${key} ${figure(value)}`);
  if (figures.length > 0) lines.push(`    ${figures.join(', ')}`);
  for (const [role, { wallMs, cpuUserMs, cpuSystemMs, loopBusy, collections, stalls }] of Object.entries(processes)) {
    const cpu = (100 * (cpuUserMs + cpuSystemMs)) / wallMs;
    lines.push(
      `    ${role}: ${figure(cpu)} % CPU (${figure((100 * cpuSystemMs) / wallMs)} % system), loop busy ${figure(loopBusy * 100)} %, ` +
        `garbage ${figure(collections.totalMs)} ms in ${collections.count} (longest ${figure(collections.maxMs)}), ` +
        `late p50 ${figure(stalls.p50Ms)} p99 ${figure(stalls.p99Ms)} p99.9 ${figure(stalls.p999Ms)} max ${figure(stalls.maxMs)} ms`,
    );
  }
  for (const [role, { busyMs, parts, functions }] of Object.entries(profiles)) {
    lines.push(`    ${role}: profile of ${figure(busyMs)} ms of work`);
    for (const list of [parts, functions]) {
      lines.push(
        ...list
          .slice(0, LISTED_SHARES)
          .map((share) => `      ${share.percent.toFixed(1).padStart(5)} %  ${share.name}`),
      );
      lines.push('');
    }
  }
  return lines;
}
