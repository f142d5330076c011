import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { detectHierarchies } from '../cgroup/detect.ts';
import { HierarchyV2 } from '../cgroup/v2.ts';
import { readProcess } from '../launcher/records.ts';
import { eventually, groupOf, makeBase, TestHost } from './testing/host.ts';

/** The bare v2 tree is there on every layout; what needs controllers is in cgroup/contract.ts. */
it('jobs enter, are stopped in and leave nothing in a leaf of the v2 tree', async ({ skip }) => {
  const { v2 } = detectHierarchies();
  if (process.getuid?.() !== 0 || v2 === undefined) return skip('takes root and a mounted v2 tree');
  const base = makeBase();
  const group = join(v2.directory, v2.own, groupOf(base));
  mkdirSync(group);
  const limits = { cpu: 'not tested', memory: 'not tested', pids: 'not tested', swap: 'not tested' };
  const cgroups = { hierarchy: new HierarchyV2(group, limits), limits };
  const host = await TestHost.ready({ base, cgroups });
  const { output, cpuTimeUs } = await host.finish(['sh', '-c', 'grep ^0:: /proc/self/cgroup; (setsid sleep 1000 &)']);
  expect(output).toMatch(new RegExp(`/${groupOf(base)}/slot-\\d+\n$`));
  // cpu.stat counts without a controller.
  expect(cpuTimeUs).toBeGreaterThan(0);
  const job = host.run(['sh', '-c', 'trap "" TERM; sleep 1000 & echo $!; wait']);
  await eventually('it ignores SIGTERM', () => job.output() !== '');
  host.runtime.stop(job.key, { graceSeconds: 0.1, reason: 'enough' });
  expect(await job.ended).toMatchObject({ cause: 'stopped', signal: 9 });
  expect(readProcess(Number(job.output()))).toBeUndefined();
  await host.close();
  expect(existsSync(group)).toBe(false);
});
