import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { LogStoreError } from './log-store.ts';
import { SegmentLogStore } from './segment-log-store.ts';
import { chunk, refOf, textOf } from './testing.ts';

const run = promisify(execFile);
const PIECE = 20_000;
const text = (round: number): string => String.fromCharCode(97 + (round % 26)).repeat(PIECE);

/** Bit 21 of the effective capabilities: mounting is allowed. */
async function maySysAdmin(): Promise<boolean> {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(await readFile('/proc/self/status', 'utf8'))?.[1];
  return ((BigInt(`0x${effective ?? '0'}`) >> 21n) & 1n) === 1n;
}

/** A file system of 8 MiB; false where this process may not mount. */
async function mountSmall(directory: string): Promise<boolean> {
  return await run('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'none', directory]).then(
    () => true,
    () => false,
  );
}

async function appendUntilFull(store: SegmentLogStore, from: number): Promise<{ acked: number; code: string }> {
  for (let round = from; ; round++) {
    try {
      await store.append([chunk(refOf(1), round * PIECE, text(round))]);
    } catch (error) {
      return { acked: round, code: error instanceof LogStoreError ? error.code : String(error) };
    }
  }
}

it('a full disk: a typed refusal, nothing acked is lost, and it goes on when there is room', async (context) => {
  const directory = await mkdtemp(join(tmpdir(), 'galley-logs-'));
  try {
    if (!(await mountSmall(directory))) {
      if (await maySysAdmin()) {
        throw new Error('mounting a tmpfs failed although CAP_SYS_ADMIN is there');
      }
      context.skip('mounting a tmpfs needs CAP_SYS_ADMIN');
    }
    const options = { directory: join(directory, 'logs'), segmentBytes: 1024 * 1024, freeFloorBytes: 0 };
    let store = await SegmentLogStore.open(options);
    try {
      const ballast = [0, 1, 2, 3].map((number) => join(directory, `ballast-${number}`));
      for (const path of ballast) {
        await writeFile(path, Buffer.alloc(1024 * 1024));
      }
      let acked = 0;
      for (const [cycle, path] of ballast.entries()) {
        const full = await appendUntilFull(store, acked);
        acked = full.acked;
        expect(full.code).toMatch(/^(NO_SPACE|UNAVAILABLE)$/);
        await rm(path);
        if (cycle === 1) {
          await store.close();
          store = await SegmentLogStore.open(options);
        }
        // What was refused may be there or not; sending it again settles it.
        for (let more = 0; more < 5; more++, acked++) {
          await store.append([chunk(refOf(1), acked * PIECE, text(acked))]);
        }
        await expectAcked(store, acked);
      }
      await store.close();
      store = await SegmentLogStore.open(options);
      await expectAcked(store, acked);
    } finally {
      await store.close();
      await run('umount', [directory]);
    }
  } finally {
    await rm(directory, { recursive: true });
  }
});

async function expectAcked(store: SegmentLogStore, acked: number): Promise<void> {
  for (let round = 0; round < acked; round++) {
    const page = await store.read({ ref: refOf(1), stream: 'output', offset: round * PIECE, maxBytes: PIECE });
    expect(textOf(page.chunks)).toBe(text(round));
  }
}
