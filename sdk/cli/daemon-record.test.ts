import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { findRunning, removeRecord, writeRecord } from './daemon-record.ts';
import { stopProcess } from './daemons.ts';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'galley-record-'));
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

test('a process finds its own note, until it removes it', () => {
  expect(findRunning(directory, 'agent')).toBeUndefined();
  writeRecord(directory, 'agent', { nodeName: 'n1' });
  expect(findRunning(directory, 'agent')).toMatchObject({ pid: process.pid, nodeName: 'n1' });
  expect(findRunning(directory, 'server')).toBeUndefined();
  removeRecord(directory, 'agent');
  expect(findRunning(directory, 'agent')).toBeUndefined();
});

test('another process that was given the same pid is not taken for it', () => {
  writeRecord(directory, 'server');
  const path = join(directory, 'run', 'server.json');
  const record = JSON.parse(readFileSync(path, 'utf8')) as { startTime: string };
  writeFileSync(path, JSON.stringify({ ...record, startTime: `${Number(record.startTime) - 1}` }));
  expect(findRunning(directory, 'server')).toBeUndefined();
});

test('a note that was never finished is no process', () => {
  mkdirSync(join(directory, 'run'));
  writeFileSync(join(directory, 'run', 'server.json'), '{"pid":');
  expect(findRunning(directory, 'server')).toBeUndefined();
});

test('a process that ends when asked is gone; one that does not is reported', async () => {
  const polite = spawn('sleep', ['60']);
  await once(polite, 'spawn');
  expect(await stopProcess({ pid: polite.pid ?? 0, startTime: '' }, 5_000)).toBe(true);
  expect(await stopProcess({ pid: polite.pid ?? 0, startTime: '' }, 5_000)).toBe(true);

  const deaf = spawn('sh', ['-c', 'trap "" TERM; echo ready; sleep 60 & wait; wait'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  await once(deaf.stdout, 'data');
  try {
    expect(await stopProcess({ pid: deaf.pid ?? 0, startTime: '' }, 200)).toBe(false);
  } finally {
    const gone = once(deaf, 'exit');
    deaf.kill('SIGKILL');
    await gone;
  }
});
