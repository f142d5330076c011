import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { scanFrames } from './framing.ts';
import { RecordFile } from './record-file.ts';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'galley-records-'));
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

/** A file of texts that remembers all of them. */
async function openTexts(path: string, onFault?: (error: Error | undefined) => void, compactionGrowthBytes?: number) {
  const texts: string[] = [];
  const { file } = await RecordFile.open({
    path,
    apply: (payload) => texts.push(Buffer.from(payload).toString()),
    snapshot: () => texts.map((text) => Buffer.from(text)),
    ...(onFault === undefined ? {} : { onFault }),
    ...(compactionGrowthBytes === undefined ? {} : { compactionGrowthBytes }),
  });
  const append = (text: string, durable = true) => file.append([Buffer.from(text)], durable);
  return { file, texts, append };
}

test('appends are applied in order, whether durable or not', async () => {
  const { file, texts, append } = await openTexts(join(directory, 'records'));
  await Promise.all([append('a'), append('b', false), append('c')]);
  expect(texts).toEqual(['a', 'b', 'c']);
  await file.close();
  const again = await openTexts(join(directory, 'records'));
  expect(again.texts).toEqual(['a', 'b', 'c']);
  await again.file.close();
});

test('a closed file refuses', async () => {
  const { file, append } = await openTexts(join(directory, 'records'));
  await file.close();
  await expect(append('late')).rejects.toMatchObject({ code: 'CLOSED' });
});

test('a full disk is waited for; what was confirmed stands, and nothing twice', async () => {
  const mount = join(directory, 'small');
  await execa('mkdir', [mount]);
  const mounted = await execa('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', mount], { reject: false });
  // Only root may mount a small disk; anybody else learns nothing here.
  if (mounted.failed) {
    expect(process.getuid?.()).not.toBe(0);
    return;
  }
  try {
    const faults: (Error | undefined)[] = [];
    const fault = Promise.withResolvers<void>();
    const { file, texts, append } = await openTexts(join(mount, 'records'), (error) => {
      faults.push(error);
      if (error !== undefined) fault.resolve();
    });
    await append('first');
    await execa('dd', ['if=/dev/zero', `of=${join(mount, 'filler')}`, 'bs=4k'], { reject: false });
    const stuck = append('x'.repeat(20_000));
    await fault.promise;
    await rm(join(mount, 'filler'));
    await stuck;
    expect(faults.at(-1)).toBeUndefined();
    await append('last');
    expect(texts.map((text) => text.length)).toEqual([5, 20_000, 4]);
    await file.close();
    const { payloads } = scanFrames(await readFile(join(mount, 'records')));
    expect(payloads.map((payload) => payload.length)).toEqual([5, 20_000, 4]);
  } finally {
    await execa('umount', ['-l', mount]);
  }
});
