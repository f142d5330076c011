import { InvalidArgumentError } from 'commander';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  collectCounts,
  collectEnvironment,
  collectExitRules,
  collectList,
  collectPairs,
  parseCpus,
  parseDuration,
  parseInteger,
  parseMemory,
  parseSeconds,
  parseSince,
  parseSize,
} from './parse.ts';

/** What parsing this text throws; the text itself when it throws nothing, so that a failing test names it. */
function refusalOf(parse: (text: string) => unknown, text: string): unknown {
  try {
    parse(text);
    return text;
  } catch (error) {
    return error;
  }
}

test('sizes', () => {
  expect(['512m', '2g', '1GiB', '1.5g', '2GB', '4096', '1 k'].map(parseSize)).toEqual([
    512 * 1024 ** 2,
    2 * 1024 ** 3,
    1024 ** 3,
    1.5 * 1024 ** 3,
    2e9,
    4096,
    1024,
  ]);
});

test('vCPUs and durations', () => {
  expect(['2', '0.5', '250m', '0.001'].map(parseCpus)).toEqual([2, 0.5, 0.25, 0.001]);
  expect(['90s', '5m', '1h30m', '2d', '500ms', '7', '1.5h'].map(parseDuration)).toEqual([
    90e3, 300e3, 5400e3, 172800e3, 500, 7000, 5400e3,
  ]);
  expect(parseSeconds('500ms')).toBe(1);
});

test('a time is a date, or so long ago', () => {
  const now = Date.parse('2026-11-20T12:00:00Z');
  expect(parseSince('2d', now)).toBe(now - 172800e3);
  expect(parseSince('2026-11-20T10:00:00Z', now)).toBe(Date.parse('2026-11-20T10:00:00Z'));
  expect(parseSince('2026-11-20', now)).toBe(new Date(2026, 10, 20).getTime());
});

test('what cannot be meant is refused', () => {
  const refused: [(text: string) => unknown, string[]][] = [
    [parseSize, ['', 'm', '-1m', '1x', '1e99t', 'NaN', '1.2.3g', 'toString']],
    [parseCpus, ['0', '-1', '0.0001', 'two', '1e9', '5000000']],
    [parseDuration, ['', '-5s', '5 parsecs', 's', '1h 30m x']],
    [parseSeconds, ['0', '0s']],
    [(text) => parseSince(text), ['', 'yesterday', '2026-13-45', '12']],
    [parseInteger(1, 10), ['0', '11', '1.5', '', 'x', '-1']],
    [(text) => collectPairs(text), ['=x', 'x', '']],
    [(text) => collectCounts(text), ['gpu', 'gpu=0', 'GPU=1', 'gpu=-1', '=1', 'gpu=1.5']],
    [collectEnvironment({}), ['HOME']],
  ];
  for (const [parse, texts] of refused) {
    for (const text of texts) expect(refusalOf(parse, text)).toBeInstanceOf(InvalidArgumentError);
  }
});

test('memory without a unit asks whether another one was meant', () => {
  expect(() => parseMemory('512')).toThrow('did you mean 512m?');
  expect(() => parseMemory('1k')).toThrow('at least 4 MiB');
});

test('repeated options add up', () => {
  expect(collectPairs('A=1=2', { B: '' })).toEqual({ A: '1=2', B: '' });
  expect(collectEnvironment({ HOME: '/h' })('HOME', { A: '1' })).toEqual({ HOME: '/h', A: '1' });
  expect(collectCounts('gpu=2', { 'fpga/x': 1 })).toEqual({ 'fpga/x': 1, gpu: 2 });
  expect(collectList('b,c', ['a'])).toEqual(['a', 'b', 'c']);
});

test('nothing that somebody may type ends in anything but a value or a refusal', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      for (const parse of [parseSize, parseCpus, parseDuration, parseSeconds]) {
        try {
          expect(Number.isFinite(parse(text))).toBe(true);
        } catch (error) {
          expect(error).toBeInstanceOf(InvalidArgumentError);
        }
      }
    }),
  );
});

test('rules for retries are in the shorthand of AWS', () => {
  expect(collectExitRules('action=EXIT,onExitCode=2')).toEqual([{ action: 'EXIT', onExitCode: '2' }]);
  expect(collectExitRules('onStatusReason=Host EC2*,action=retry', [{ action: 'EXIT', onReason: 'a' }])).toEqual([
    { action: 'EXIT', onReason: 'a' },
    { action: 'RETRY', onStatusReason: 'Host EC2*' },
  ]);
  expect(collectExitRules('action=retry,onReason=a, b,onExitCode=1*')).toEqual([
    { action: 'RETRY', onReason: 'a, b', onExitCode: '1*' },
  ]);
  for (const text of ['', 'retry', 'action=retry', 'onExitCode=1', 'action=no,onExitCode=1', 'action=exit,on=1']) {
    expect(refusalOf(collectExitRules, text)).toBeInstanceOf(InvalidArgumentError);
  }
});
