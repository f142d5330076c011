import { EventEmitter } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { cli } from '../../testing/cli.ts';
import { findRunning, writeRecord } from '../daemon-record.ts';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'galley-agent-command-'));
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

test('an agent with a state directory of its own is not the one that up and down look for', async () => {
  writeRecord(directory, 'agent', { nodeName: 'mine' });
  const signals = new EventEmitter();
  const words = ['agent', '--name', 'second', '--allow-unlimited', '--state-dir', join(directory, 'second')];
  const { code } = await cli([...words, '--address', '127.0.0.1:1', '--data-dir', directory], {
    env: { GALLEY_TOKEN: 'secret' },
    signals,
    onOutput: (text) => {
      if (text.includes('node second serves')) setImmediate(() => signals.emit('SIGTERM'));
    },
  });
  expect(code).toBe(0);
  expect(findRunning(directory, 'agent')?.nodeName).toBe('mine');
});
