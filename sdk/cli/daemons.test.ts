import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'galley-daemons-'));
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

test('a daemon holds nothing that whoever started it had open', () => {
  const module = fileURLToPath(new URL('./daemons.ts', import.meta.url));
  // The lock of a cron job: as long as anybody has it open, the next run waits.
  const program = `import { startDaemon } from ${JSON.stringify(module)};
    const daemon = startDaemon(${JSON.stringify(directory)}, 'agent', ['/bin/ls', '-l', '/proc/self/fd'], process.env);
    daemon.child.ref();`;
  const script = 'exec 9>"$1/lock" 77>"$1/other"; exec "$2" --input-type=module-typescript --eval "$3"';
  execFileSync('bash', ['-c', script, 'bash', directory, process.execPath, program]);
  const open = readFileSync(join(directory, 'log', 'agent.log'), 'utf8');
  expect(open).toContain('/log/agent.log');
  expect(open).not.toMatch(/\/(lock|other)$/m);
});
