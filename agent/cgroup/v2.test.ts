/**
 * The file formats of v2, on a copy of what a kernel 6.1 shows in a delegated group. The contract itself runs on a real
 * v2 tree where the machine has one (hierarchies.test.ts); here ordinary files stand in for the kernel's.
 */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ENFORCED } from './cgroup.ts';
import { openV2 } from './v2.ts';

const LEAF_FILES: Record<string, string> = {
  'cgroup.procs': '',
  'cgroup.kill': '',
  'cpu.max': 'max 100000\n',
  'cpu.stat': 'usage_usec 71234\nuser_usec 60000\nsystem_usec 11234\nnr_periods 0\n',
  'memory.max': 'max\n',
  'memory.swap.max': 'max\n',
  'memory.peak': '1048576\n',
  'memory.current': '4096\n',
  'memory.events': 'low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n',
  'pids.max': 'max\n',
  'pids.current': '3\n',
};

describe('v2', () => {
  let directory: string;
  const write = (path: string, files: Record<string, string>) => {
    mkdirSync(join(directory, path), { recursive: true });
    for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, path, name), text);
  };
  const delegated = (controllers: string) => ({
    'cgroup.procs': '',
    'cgroup.events': 'populated 1\n',
    'cgroup.controllers': `${controllers}\n`,
    'cgroup.subtree_control': `${controllers}\n`,
  });
  const open = () => openV2({ directory, own: '/user.slice/galley.service' }, 'jobs', false);
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'galley-v2-'));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  it('reads counters and writes limits in the kernel’s formats', () => {
    write('user.slice/galley.service', delegated('cpu memory pids'));
    write('user.slice/galley.service/jobs', delegated('cpu memory pids'));
    write('user.slice/galley.service/jobs/probe', { 'memory.swap.max': 'max\n' });
    const { hierarchy, limits } = open();
    expect(limits).toEqual({ cpu: ENFORCED, memory: ENFORCED, pids: ENFORCED, swap: ENFORCED });
    write('user.slice/galley.service/jobs/slot-1', LEAF_FILES);
    const leaf = hierarchy?.create('slot-1');
    expect(leaf?.counters()).toEqual({
      oomKills: 2,
      cpuTimeUs: 71_234,
      peakMemoryBytes: 1_048_576,
      memoryBytes: 4096,
      processes: 3,
    });
    leaf?.configure({ milliVcpu: 1500, memoryBytes: 64, swapBytes: 0, pids: 9 });
    const at = (name: string) =>
      readFileSync(join(directory, 'user.slice/galley.service/jobs/slot-1', name), 'utf8').trim();
    expect(at('cpu.max')).toMatch(/^150000 100000/);
    // Ordinary files keep the tail of what they held before; a control file takes each write whole.
    expect(at('memory.max')).toMatch(/^64/);
    expect(at('memory.swap.max')).toMatch(/^0/);
    expect(at('pids.max')).toMatch(/^9/);
    leaf?.kill();
    expect(at('cgroup.kill')).toBe('1');
  });

  it('says what a session without delegation lacks, one by one', () => {
    write('user.slice/galley.service', { ...delegated('memory pids') });
    write('user.slice/galley.service/jobs', delegated('memory pids'));
    const { hierarchy, limits } = open();
    expect(hierarchy).toBeDefined();
    expect(limits.memory).toBe(ENFORCED);
    expect(limits.cpu).toMatch(/^unavailable: the cpu controller is not delegated to /);
    expect(limits.swap).toMatch(/^unavailable: /);
  });

  it('opens nothing where not one controller is handed on', () => {
    write('user.slice/galley.service', delegated(''));
    const { hierarchy, limits } = open();
    expect(hierarchy).toBeUndefined();
    for (const limit of [limits.cpu, limits.memory, limits.pids, limits.swap]) expect(limit).toMatch(/^unavailable: /);
  });

  it('names the reason where the group belongs to somebody else', () => {
    write('user.slice/galley.service', delegated('cpu memory pids'));
    rmSync(join(directory, 'user.slice/galley.service/cgroup.procs'));
    chmodSync(directory, 0o755);
    expect(open().limits.memory).toMatch(/is not delegated to this user/);
  });
});
