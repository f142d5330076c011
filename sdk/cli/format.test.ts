import { expect, test } from 'vitest';
import { csvLine } from './csv.ts';
import {
  formatBytes,
  formatDuration,
  formatExit,
  formatResources,
  formatResourcesGiven,
  formatTries,
  formatVcpus,
} from './format.ts';
import { quoteCommand } from './quote.ts';

test('sizes, vCPUs and durations as people say them', () => {
  expect([0, 1023, 512 * 1024 ** 2, 1.5 * 1024 ** 3, 1024 ** 5].map(formatBytes)).toEqual([
    '0 B',
    '1023 B',
    '512 MiB',
    '1.5 GiB',
    '1 PiB',
  ]);
  expect([1000, 500, 1, 2250].map(formatVcpus)).toEqual(['1', '0.5', '0.001', '2.25']);
  expect([0, 412, 9_949, 9_950, 59_499, 184_000, 7_500_000, 273_600_000, -5].map(formatDuration)).toEqual([
    '0.0 s',
    '0.4 s',
    '9.9 s',
    '10 s',
    '59 s',
    '3m 04s',
    '2h 05m',
    '3d 4h',
    '0 s',
  ]);
});

test('resources, with what was not asked for marked', () => {
  const resources = { milliVcpu: 1000, memoryBytes: 512 * 1024 ** 2, named: [{ name: 'gpu', count: 1 }] };
  expect(formatResources(resources)).toBe('1 vCPU, 512 MiB, 1 gpu');
  expect(formatResourcesGiven(resources)).toBe('1 vCPU (default), 512 MiB (default), 1 gpu');
  expect(formatResourcesGiven(resources, { vcpus: 1 })).toBe('1 vCPU, 512 MiB (default), 1 gpu');
});

test('how a job ended', () => {
  expect(formatExit({ exitCode: 3, cause: 'EXITED' })).toBe('3');
  expect(formatExit({ signal: 9, cause: 'SIGNALLED' })).toBe('signal 9');
  expect(formatExit({ exitCode: 137, cause: 'OUT_OF_MEMORY' })).toBe('out of memory');
  expect(formatExit({})).toBe('');
});

test('quoting, for shells and for spreadsheets', () => {
  expect(quoteCommand(['echo', "it's", 'a b', '--x=1', ''])).toBe(String.raw`echo 'it'\''s' 'a b' --x=1 ''`);
  expect(csvLine(['a', 1, undefined, 'x,"y"', 'l\nm'])).toBe('a,1,,"x,""y""","l\nm"');
});

test('tries are told with their rules', () => {
  expect(formatTries(undefined)).toBeUndefined();
  const rule = { action: 'EXIT', onExitCode: '2', onReason: '', onStatusReason: '' };
  const strategy = {
    attempts: 3,
    evaluateOnExit: [rule],
    outOfMemoryFactor: 0,
    outOfMemoryCapBytes: 0,
    onAnotherNode: false,
  };
  expect(formatTries(strategy)).toBe('3 at most; exit on exit code 2');
});
