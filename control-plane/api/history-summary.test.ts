import { HistoryGroup } from '@galley/proto';
import { expect, test } from 'vitest';
import type { HistoryRecord } from '../core/view.ts';
import { HistoryTotals } from './history-summary.ts';

test('sums have no digits that nobody measured', () => {
  const totals = new HistoryTotals(HistoryGroup.USER);
  for (let at = 0; at < 11; at += 1) {
    totals.add({
      user: 'ann',
      startedAtMs: 1_000,
      stoppedAtMs: 1_100,
      milliVcpu: 700,
      memoryBytes: 2 ** 29,
      cpuTimeUs: 100_001,
      succeeded: true,
    } as HistoryRecord);
  }
  expect(totals.groups).toMatchObject([
    { runSeconds: 1.1, allocatedVcpuSeconds: 0.77, usedCpuSeconds: 1.100011, allocatedGibSeconds: 0.55 },
  ]);
});
