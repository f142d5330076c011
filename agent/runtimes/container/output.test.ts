import { mkdtempSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { copyOutput } from './output.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'galley-output-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

function frame(stream: number, payload: string | Buffer): Buffer {
  const bytes = Buffer.from(payload);
  const header = Buffer.from([stream, 0, 0, 0, 0, 0, 0, 0]);
  header.writeUInt32BE(bytes.length, 4);
  return Buffer.concat([header, bytes]);
}

/** The same bytes in pieces of other lengths. */
function pieces(bytes: Buffer, lengths: readonly number[]): Readable {
  const cut: Buffer[] = [];
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const length = lengths[turn % lengths.length] ?? 1;
    cut.push(bytes.subarray(at, at + length));
    at += length;
  }
  return Readable.from(cut);
}

const read = (name = 'output') => readFileSync(join(directory, name), 'utf8');

describe('a container’s output', () => {
  it('is whole and once, however it is cut and wherever an agent before this one stopped', async () => {
    const line = fc.tuple(
      fc.constantFrom(1, 2),
      fc.string().map((text) => `${text.replaceAll('\n', '')}\n`),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(line, { maxLength: 20 }),
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 }),
        fc.nat(),
        async (lines, lengths, stop) => {
          const stream = Buffer.concat(lines.map(([type, text]) => frame(type, text)));
          const whole = lines.map(([, text]) => text).join('');
          rmSync(join(directory, 'output'), { force: true });
          await copyOutput(directory, false, pieces(stream, lengths));
          expect(read()).toBe(whole);
          truncateSync(join(directory, 'output'), stop % (Buffer.byteLength(whole) + 1));
          await copyOutput(directory, false, pieces(stream, [7]));
          expect(readFileSync(join(directory, 'output')).equals(Buffer.from(whole))).toBe(true);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('is told apart by stream on request', async () => {
    await copyOutput(directory, true, pieces(Buffer.concat([frame(1, 'a\n'), frame(2, 'b\n'), frame(1, 'c\n')]), [3]));
    expect([read('stdout'), read('stderr')]).toEqual(['a\nc\n', 'b\n']);
  });

  it('gets back the end of a line that Docker’s local driver cut into frames and lost it of', async () => {
    const full = 'x'.repeat(16_384);
    const cut = Buffer.concat([
      frame(1, full),
      frame(1, 'y'),
      frame(2, 'between\n'),
      frame(1, 'after\n'),
      frame(1, 'z'),
    ]);
    await copyOutput(directory, true, pieces(cut, [1000]));
    expect(read('stdout')).toBe(`${full}y\nafter\nz`);
  });
});
