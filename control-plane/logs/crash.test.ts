import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { SegmentLogStore } from './segment-log-store.ts';
import { refOf } from './testing.ts';
import { patternOf } from './testing-appender.ts';

const JOBS = 20;
const APPENDER = fileURLToPath(new URL('testing-appender.ts', import.meta.url));

/** Runs the appender until it has told of so many acks, kills it, and adds what it told to the ledger. */
async function runAndKill(directory: string, acks: number, ledger: Map<number, number>): Promise<void> {
  const child = spawn(process.execPath, [APPENDER, directory, String(JOBS)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  let seen = 0;
  for await (const line of createInterface(child.stdout)) {
    const [job, end] = line.split(' ').map(Number);
    if (job === undefined || end === undefined || !line.includes(' ')) {
      continue;
    }
    ledger.set(job, Math.max(end, ledger.get(job) ?? 0));
    if (++seen === acks) {
      child.kill('SIGKILL');
    }
  }
  expect(await exited).toEqual([null, 'SIGKILL']);
}

it('kill -9 under load, again and again: every acked byte is there', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'galley-logs-'));
  const ledger = new Map<number, number>();
  try {
    for (const acks of [1, 150, 400, 700]) {
      await runAndKill(directory, acks, ledger);
      const store = await SegmentLogStore.open({ directory, freeFloorBytes: 0 });
      try {
        for (const [job, acked] of ledger) {
          const ref = refOf(job);
          const { known } = (await store.lengths(ref)).output;
          expect(known).toBeGreaterThanOrEqual(acked);
          let offset = 0;
          while (offset < known) {
            const page = await store.read({ ref, stream: 'output', offset });
            for (const chunk of page.chunks) {
              expect(chunk.offset).toBe(offset);
              const data = chunk.kind === 'data' ? Buffer.from(chunk.data) : undefined;
              expect(data?.equals(patternOf(job, offset, data.length))).toBe(true);
              offset += data?.length ?? 0;
            }
          }
        }
      } finally {
        await store.close();
      }
    }
    expect(ledger.size).toBe(JOBS);
  } finally {
    await rm(directory, { recursive: true });
  }
}, 60_000);
