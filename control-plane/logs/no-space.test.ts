import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
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

/** A file system of its own on the directory; false where this process may not mount. */
async function mountSmall(directory: string, size: string): Promise<boolean> {
  return await run('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'none', directory]).then(
    () => true,
    async () => {
      if (await maySysAdmin()) {
        throw new Error('mounting a tmpfs failed although CAP_SYS_ADMIN is there');
      }
      return false;
    },
  );
}

const outcomeOf = (append: Promise<unknown>): Promise<string> =>
  append.then(
    () => 'acked',
    (error: unknown) => (error instanceof LogStoreError ? error.code : String(error)),
  );

async function appendUntilFull(store: SegmentLogStore, from: number): Promise<{ acked: number; code: string }> {
  for (let round = from; ; round++) {
    const code = await outcomeOf(store.append([chunk(refOf(1), round * PIECE, text(round))]));
    if (code !== 'acked') {
      return { acked: round, code };
    }
  }
}

it('a full disk: a typed refusal, nothing acked is lost, and it goes on when there is room', async (context) => {
  const directory = await mkdtemp(join(tmpdir(), 'galley-logs-'));
  try {
    if (!(await mountSmall(directory, '8m'))) {
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

it('a full disk under the index alone: nothing is acked that is not found, and it is caught up later', async (context) => {
  const directory = await mkdtemp(join(tmpdir(), 'galley-logs-'));
  const index = join(directory, 'index');
  await mkdir(index);
  try {
    if (!(await mountSmall(index, '256k'))) {
      context.skip('mounting a tmpfs needs CAP_SYS_ADMIN');
    }
    try {
      const store = await SegmentLogStore.open({ directory, freeFloorBytes: 0 });
      try {
        const words = Array.from({ length: 20_000 }, (_, round) => `${round} `);
        const call = 500;
        let acked = 0;
        let known = 0;
        const outcomes: string[] = [];
        while (acked < words.length && outcomes.length < 10) {
          let offset = known;
          const chunks = words.slice(acked, acked + call).map((word) => {
            const one = chunk(refOf(1), offset, word);
            offset += word.length;
            return one;
          });
          const outcome = await outcomeOf(store.append(chunks));
          if (outcome === 'acked') {
            acked += call;
            known = offset;
          } else {
            outcomes.push(outcome);
          }
          if (outcomes.length === 3) {
            await run('mount', ['-o', 'remount,size=16m', index]);
          }
        }
        expect(outcomes.length).toBeGreaterThanOrEqual(3);
        expect(new Set(outcomes)).toEqual(new Set(['UNAVAILABLE']));
        let text = '';
        while (text.length < known) {
          text += textOf((await store.read({ ref: refOf(1), stream: 'output', offset: text.length })).chunks);
        }
        expect(text).toBe(words.join(''));
      } finally {
        await store.close();
      }
    } finally {
      await run('umount', [index]);
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
