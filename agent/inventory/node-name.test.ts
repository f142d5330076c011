import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { checkNodeName, keepNodeName, keptNodeName, nodeNameOf } from './node-name.ts';

test.each([
  ['build-7.example.org', 'build-7.example.org'],
  ['Jane’s laptop', 'Jane-s-laptop'],
  ['--', 'node'],
  ['', 'node'],
  ['x'.repeat(200), 'x'.repeat(128)],
])('host %j is node %j', (host, node) => {
  expect(nodeNameOf(host)).toBe(node);
  expect(checkNodeName(node)).toBe(node);
});

test('a name that the control plane would refuse is refused with its reason', () => {
  expect(() => checkNodeName('a b')).toThrow('nodeName: 1 to 128 letters');
});

test('a state directory keeps the name under which it has served', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'galley-name-'));
  try {
    expect(keptNodeName(directory)).toBeUndefined();
    await keepNodeName(directory, 'build-7');
    expect(keptNodeName(directory)).toBe('build-7');
  } finally {
    rmSync(directory, { recursive: true });
  }
});
