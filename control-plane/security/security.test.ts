import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { testDirectory } from '../store/testing.ts';
import { TokenAuthenticator } from './authenticator.ts';
import { formatAddress, isLoopback } from './listen-address.ts';
import { readOrCreateToken, TOKEN_FILE } from './token-file.ts';

describe('the token of the first start', () => {
  it('is made once, readable by its owner alone, and leaves nothing beside it', async () => {
    await using directory = await testDirectory();
    const token = await readOrCreateToken(directory.path);
    expect(token).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect(await readOrCreateToken(directory.path)).toBe(token);
    expect((await stat(join(directory.path, TOKEN_FILE))).mode & 0o777).toBe(0o600);
    expect(await readdir(directory.path)).toEqual([TOKEN_FILE]);
  });

  it('is one, however many start at once', async () => {
    await using directory = await testDirectory();
    const tokens = await Promise.all(Array.from({ length: 8 }, () => readOrCreateToken(directory.path)));
    expect(new Set(tokens).size).toBe(1);
    expect((await readFile(join(directory.path, TOKEN_FILE), 'utf8')).trim()).toBe(tokens[0]);
  });

  it('that was emptied is not replaced in silence', async () => {
    await using directory = await testDirectory();
    await writeFile(join(directory.path, TOKEN_FILE), '\n');
    await expect(readOrCreateToken(directory.path)).rejects.toThrow(/holds no token/);
  });
});

describe('a token', () => {
  const authenticator = new TokenAuthenticator('correct-horse-battery');

  it.each(['Bearer correct-horse-battery', 'bearer  correct-horse-battery'])('is taken as %j', (authorization) => {
    expect(authenticator.authenticate({ authorization })).toEqual({ principal: 'admin', role: 'admin' });
  });

  it.each([
    undefined,
    '',
    'Bearer',
    'Bearer ',
    'Bearer wrong-horse-battery',
    'Bearer correct-horse-battery extra',
    'Basic correct-horse-battery',
    'correct-horse-battery',
  ])('is not taken as %j', (authorization) => {
    expect(authenticator.authenticate({ authorization })).toBeUndefined();
  });
});

describe('a listen address', () => {
  it.each(['127.0.0.1', '127.8.9.1', '::1', '[::1]', 'localhost'])('%s is loopback', (host) => {
    expect(isLoopback(host)).toBe(true);
  });
  it.each(['0.0.0.0', '::', '10.0.0.1', '128.0.0.1', 'example.org', ''])('%s is not', (host) => {
    expect(isLoopback(host)).toBe(false);
  });
  it('is written with brackets where it needs them', () => {
    expect(formatAddress('::1', 1)).toBe('[::1]:1');
    expect(formatAddress('127.0.0.1', 2)).toBe('127.0.0.1:2');
  });
});
