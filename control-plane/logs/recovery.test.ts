import { appendFile, mkdtemp, open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GAP_DAMAGED, type LogChunk } from './log-store.ts';
import { HEADER_BYTES } from './record.ts';
import { SegmentLogStore } from './segment-log-store.ts';
import { SEGMENT_HEADER_BYTES, segmentPath } from './segments.ts';
import { chunk, refOf, textOf } from './testing.ts';

let directory: string;
let warnings: string[];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'galley-logs-'));
  warnings = [];
});
afterEach(() => rm(directory, { recursive: true }));

const SEGMENT = 16 * 1024;
const openStore = () =>
  SegmentLogStore.open({
    directory,
    segmentBytes: SEGMENT,
    freeFloorBytes: 0,
    onWarning: (message) => warnings.push(message),
  });

async function withStore<T>(use: (store: SegmentLogStore) => Promise<T>): Promise<T> {
  const store = await openStore();
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

const JOBS = 5;
// More than two blocks of 32 KiB in the index's log, which LevelDB drops one by one.
const ROUNDS = 200;
const PIECE = 100;
const piece = (job: number, round: number): string => `${job}/${round};`.padEnd(PIECE, '.');
const whole = (job: number): string => Array.from({ length: ROUNDS }, (_, round) => piece(job, round)).join('');

/** Several segments of interleaved jobs; the odd ones ended. */
async function fill(): Promise<void> {
  await withStore(async (store) => {
    for (let round = 0; round < ROUNDS; round++) {
      await store.append(
        Array.from({ length: JOBS }, (_, index) => chunk(refOf(index + 1), round * PIECE, piece(index + 1, round))),
      );
    }
    for (let job = 1; job <= JOBS; job += 2) {
      await store.end(refOf(job), { output: ROUNDS * PIECE });
    }
  });
}

const readJob = async (store: SegmentLogStore, job: number): Promise<readonly LogChunk[]> =>
  (await store.read({ ref: refOf(job), stream: 'output', offset: 0 })).chunks;

async function expectWhole(store: SegmentLogStore): Promise<void> {
  for (let job = 1; job <= JOBS; job++) {
    expect(textOf(await readJob(store, job))).toBe(whole(job));
    expect((await store.lengths(refOf(job))).output).toEqual({
      known: ROUNDS * PIECE,
      final: job % 2 === 1 ? ROUNDS * PIECE : undefined,
    });
  }
}

const indexFiles = async (ending: string): Promise<string[]> =>
  (await readdir(join(directory, 'index')))
    .filter((name) => name.endsWith(ending))
    .map((name) => join(directory, 'index', name));

async function overwrite(path: string, position: number, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'r+');
  await file.write(bytes, 0, bytes.length, position);
  await file.close();
}

describe('a damaged index', () => {
  const damages: Record<string, () => Promise<void>> = {
    'is gone': () => rm(join(directory, 'index'), { recursive: true }),
    'lost its CURRENT file': () => rm(join(directory, 'index', 'CURRENT')),
    'has a CURRENT file of garbage': () => writeFile(join(directory, 'index', 'CURRENT'), 'garbage'),
    'lost its MANIFEST': async () => {
      for (const path of (await readdir(join(directory, 'index'))).filter((name) => name.startsWith('MANIFEST'))) {
        await rm(join(directory, 'index', path));
      }
    },
    'has garbage in the middle of its log': async () => {
      for (const path of await indexFiles('.log')) {
        await overwrite(path, Math.floor((await stat(path)).size / 2), Buffer.alloc(400, 0xa5));
      }
    },
    'lost the end of its log': async () => {
      for (const path of await indexFiles('.log')) {
        await truncate(path, Math.floor((await stat(path)).size / 2));
      }
    },
    'has flipped bits in a table': async () => {
      // The first reopening turns the log into a table.
      await withStore(async () => {});
      for (const path of await indexFiles('.ldb')) {
        const bytes = await readFile(path);
        for (let at = 500; at < bytes.length - 500; at += 1500) {
          bytes.writeUInt8(bytes.readUInt8(at) ^ 0x10, at);
        }
        await writeFile(path, bytes);
      }
    },
  };
  it.each(Object.entries(damages))('%s: rebuilt from the segments', async (_, damage) => {
    await fill();
    await damage();
    await withStore(expectWhole);
    warnings = [];
    await withStore(expectWhole);
    expect(warnings).toEqual([]);
  });
});

describe('a damaged segment', () => {
  const first = (): string => segmentPath(directory, 1);

  it('shows a damaged body as a gap of its length, and everything else as it was', async () => {
    await fill();
    await overwrite(first(), SEGMENT_HEADER_BYTES + HEADER_BYTES + 10, Buffer.from('XX'));
    const check = async (store: SegmentLogStore): Promise<void> => {
      const [damaged, ...rest] = await readJob(store, 1);
      expect(damaged).toMatchObject({ kind: 'gap', offset: 0, length: PIECE, reason: GAP_DAMAGED });
      expect(textOf(rest)).toBe(whole(1).slice(PIECE));
      expect(textOf(await readJob(store, 2))).toBe(whole(2));
    };
    await withStore(check);
    await rm(join(directory, 'index'), { recursive: true });
    await withStore(check);
  });

  it('finds the next record behind damaged headers, with and without an index', async () => {
    await fill();
    const size = HEADER_BYTES + PIECE;
    await overwrite(first(), SEGMENT_HEADER_BYTES + 7 * size, Buffer.alloc(2 * size, 0xff));
    const check = async (store: SegmentLogStore): Promise<void> => {
      for (const job of [3, 4]) {
        const chunks = await readJob(store, job);
        const lost = chunks.filter((one) => one.kind === 'gap');
        expect(lost).toMatchObject([{ offset: PIECE, length: PIECE, reason: GAP_DAMAGED }]);
        expect(textOf(chunks)).toBe(`${piece(job, 0)}<damaged>${whole(job).slice(2 * PIECE)}`);
      }
      expect(textOf(await readJob(store, 5))).toBe(whole(5));
    };
    await withStore(check);
    await rm(join(directory, 'index'), { recursive: true });
    await withStore(check);
    warnings = [];
    await withStore(check);
    expect(warnings).toEqual([]);
  });

  it('makes no record of log data that looks like one', async () => {
    await withStore(async (store) => {
      await store.append([chunk(refOf(1), 0, 'a'.repeat(100))]);
      const printed = await readFile(first());
      const large: LogChunk = { ...chunk(refOf(2), 0, ''), data: Buffer.concat([printed, printed, printed]) };
      await store.append([large]);
      await store.append([chunk(refOf(3), 0, 'after')]);
    });
    const second = SEGMENT_HEADER_BYTES + HEADER_BYTES + 100;
    await overwrite(first(), second, Buffer.alloc(HEADER_BYTES));
    await rm(join(directory, 'index'), { recursive: true });
    await withStore(async (store) => {
      expect(textOf(await readJob(store, 1))).toBe('a'.repeat(100));
      expect(await readJob(store, 2)).toEqual([]);
      expect(textOf(await readJob(store, 3))).toBe('after');
    });
  });

  it('shows a segment that is gone as damage', async () => {
    await fill();
    await rm(segmentPath(directory, 3));
    await withStore(async (store) => {
      const chunks = await readJob(store, 2);
      expect(chunks.filter((one) => one.kind === 'gap').every(({ reason }) => reason === GAP_DAMAGED)).toBe(true);
      expect(chunks.at(0)?.kind).toBe('data');
      expect(chunks.at(-1)?.kind).toBe('data');
    });
  });
});

describe('a torn tail', () => {
  const lastSegment = async (): Promise<string> => {
    const names = (await readdir(join(directory, 'segments'))).sort();
    return join(directory, 'segments', names.at(-1) ?? '');
  };

  it.each([
    ['a partial header', Buffer.from('GLR1....')],
    ['zeros that the file system left', Buffer.alloc(3000)],
    ['garbage', Buffer.alloc(500, 0x5a)],
  ])('%s is cut off, and writing goes on', async (_, tail) => {
    await fill();
    const path = await lastSegment();
    const { size } = await stat(path);
    await appendFile(path, tail);
    await withStore(async (store) => {
      expect((await stat(path)).size).toBe(size);
      await expectWhole(store);
      await store.append([chunk(refOf(2), ROUNDS * PIECE, 'more')]);
    });
    await rm(join(directory, 'index'), { recursive: true });
    await withStore(async (store) => expect(textOf(await readJob(store, 2))).toBe(`${whole(2)}more`));
  });

  it('a turn that is torn in its middle is cut off as a whole; damage before a later turn is not', async () => {
    await withStore(async (store) => {
      await store.append([chunk(refOf(1), 0, 'first')]);
    });
    const clean = (await stat(segmentPath(directory, 1))).size;
    await withStore(async (store) => {
      await store.append([
        chunk(refOf(1), 5, 'second'),
        chunk(refOf(2), 0, 'x'.repeat(200)),
        chunk(refOf(1), 11, 'third'),
      ]);
    });
    // As after a power cut: no clean checkpoint, and one page of the last turn never reached the disk.
    await rm(join(directory, 'index'), { recursive: true });
    await overwrite(segmentPath(directory, 1), clean + HEADER_BYTES + 6 + HEADER_BYTES + 20, Buffer.alloc(50));
    await withStore(async (store) => {
      expect(textOf(await readJob(store, 1))).toBe('firstsecond');
      expect((await store.lengths(refOf(2))).output.known).toBe(0);
      await store.append([chunk(refOf(2), 0, 'y'.repeat(200)), chunk(refOf(1), 11, 'third')]);
    });
    await overwrite(segmentPath(directory, 1), clean + HEADER_BYTES + 2, Buffer.alloc(3));
    await rm(join(directory, 'index'), { recursive: true });
    await withStore(async (store) => {
      expect(textOf(await readJob(store, 1))).toBe('first<damaged>third');
      expect(textOf(await readJob(store, 2))).toBe('y'.repeat(200));
    });
  });

  it('a segment that was being made is made again', async () => {
    await fill();
    const names = await readdir(join(directory, 'segments'));
    await writeFile(segmentPath(directory, names.length + 1), 'GALL');
    await withStore(async (store) => {
      await expectWhole(store);
      for (let at = 0; at < 5; at++) {
        await store.append([chunk(refOf(9), at * 8000, 'z'.repeat(8000))]);
      }
    });
    await withStore(async (store) => expect(textOf(await readJob(store, 9))).toBe('z'.repeat(40_000)));
  });

  it('refuses a segment of another format version', async () => {
    await fill();
    await overwrite(segmentPath(directory, 2), 8, Buffer.from([9]));
    await expect(openStore()).rejects.toMatchObject({
      code: 'FORMAT',
      message: expect.stringMatching(/format 9.*reads 1/),
    });
  });
});
