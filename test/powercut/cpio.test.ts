import { expect, it } from 'vitest';
import { cpioArchive } from './cpio.ts';

const HEADER_BYTES = 110;

/** Reads an archive the way the kernel does: header, name, padding, content, padding. */
function unpack(archive: Buffer): { path: string; mode: number; content: string }[] {
  const found: { path: string; mode: number; content: string }[] = [];
  const aligned = (offset: number) => Math.ceil(offset / 4) * 4;
  for (let offset = 0; ; ) {
    const header = archive.toString('latin1', offset, offset + HEADER_BYTES);
    expect(header.slice(0, 6)).toBe('070701');
    const field = (index: number) => Number.parseInt(header.slice(6 + 8 * index, 14 + 8 * index), 16);
    const nameBytes = field(11);
    const nameAt = offset + HEADER_BYTES;
    const path = archive.toString('utf8', nameAt, nameAt + nameBytes - 1);
    expect(archive[nameAt + nameBytes - 1]).toBe(0);
    const contentAt = aligned(nameAt + nameBytes);
    offset = aligned(contentAt + field(6));
    if (path === 'TRAILER!!!') {
      expect(offset).toBe(archive.byteLength);
      return found;
    }
    found.push({ path, mode: field(1), content: archive.toString('utf8', contentAt, contentAt + field(6)) });
  }
}

it('makes an archive of directories, files and programs of any length', () => {
  const contents = ['', 'a', 'ab', 'abc', 'abcd', 'abcde'];
  const archive = cpioArchive([
    { path: 'bin' },
    { path: 'bin/program', content: Buffer.from('#!'), executable: true },
    ...contents.map((content, index) => ({ path: `file${'-'.repeat(index)}`, content: Buffer.from(content) })),
  ]);
  expect(unpack(archive)).toEqual([
    { path: 'bin', mode: 0o040755, content: '' },
    { path: 'bin/program', mode: 0o100755, content: '#!' },
    ...contents.map((content, index) => ({ path: `file${'-'.repeat(index)}`, mode: 0o100644, content })),
  ]);
});
