import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { HeadWriter, readHead, writeHead } from './head-witness.ts';
import { testDirectory } from './testing.ts';

const START = { epoch: 1, sequence: 0 };

test('a witness that cannot be written is reported, and written when it can be', async () => {
  await using directory = await testDirectory();
  const dir = join(directory.path, 'dir');
  const errors: unknown[] = [];
  const writer = new HeadWriter(dir, START, 0, (error) => errors.push(error));
  writer.note({ epoch: 1, sequence: 5 });
  await writer.flush();
  expect(errors).toHaveLength(1);
  await mkdir(dir);
  await writer.flush();
  expect(await readHead(dir)).toEqual({ epoch: 1, sequence: 5 });
  expect(errors).toHaveLength(1);
});

test('what was noted while it was written is written next', async () => {
  await using directory = await testDirectory();
  await writeHead(directory.path, START);
  const writer = new HeadWriter(directory.path, START, 0, () => {});
  for (let sequence = 1; sequence <= 20; sequence++) {
    writer.note({ epoch: 1, sequence });
    await new Promise(setImmediate);
  }
  await expect.poll(() => readHead(directory.path)).toEqual({ epoch: 1, sequence: 20 });
});

test('it is written at most once in the interval', async () => {
  await using rare = await testDirectory();
  await using often = await testDirectory();
  await writeHead(rare.path, START);
  await writeHead(often.path, START);
  const rarely = new HeadWriter(rare.path, START, 3_600_000, () => {});
  const always = new HeadWriter(often.path, START, 0, () => {});
  for (let sequence = 1; sequence <= 10; sequence++) {
    rarely.note({ epoch: 1, sequence });
    always.note({ epoch: 1, sequence });
    // The other one is the clock: when it has written, this one had the time to.
    await expect.poll(() => readHead(often.path), { interval: 1 }).toEqual({ epoch: 1, sequence });
    await expect.poll(() => readHead(rare.path), { interval: 1 }).toEqual({ epoch: 1, sequence: 1 });
  }
  await rarely.flush();
  expect(await readHead(rare.path)).toEqual({ epoch: 1, sequence: 10 });
});
