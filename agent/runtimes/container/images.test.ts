import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Engine } from './engine.ts';
import { Images, withTag } from './images.ts';

// A registry takes a network, so that what a pull does is shown by an engine that answers as Docker does.
let directory: string;
let server: Server;
let engine: Engine;
const calls: string[] = [];
const images = new Map<string, { Id: string; Size: number; RepoDigests?: string[] }>();
let pullAnswer: (reference: string) => string;
const { signal } = new AbortController();

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'galley-images-'));
  calls.length = 0;
  images.clear();
  pullAnswer = (reference) => {
    const Id = `sha256:${reference}`;
    images.set(reference, { Id, Size: 40, RepoDigests: [`${reference.split(':')[0]}@sha256:of-${reference}`] });
    return '{"status":"Pulling"}\n{"status":"Done"}\n';
  };
  server = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://engine');
    calls.push(`${request.method} ${url.pathname}`);
    const name = /^\/images\/(.+?)(\/json)?$/.exec(url.pathname)?.[1] ?? '';
    if (request.method === 'POST') {
      response.end(pullAnswer(url.searchParams.get('fromImage') ?? ''));
    } else if (request.method === 'DELETE') {
      for (const [reference, { Id }] of images) if (Id === decodeURIComponent(name)) images.delete(reference);
      response.end('[]');
    } else {
      const found = images.get(name);
      response.statusCode = found === undefined ? 404 : 200;
      response.end(JSON.stringify(found ?? { message: 'no such image' }));
    }
  });
  await new Promise<void>((resolve) => server.listen(join(directory, 'socket'), resolve));
  engine = new Engine(join(directory, 'socket'));
});
afterEach(() => {
  server.close();
  rmSync(directory, { recursive: true });
});

describe('an image', () => {
  it('is pulled when its policy says so, and tells the digest of its registry', async () => {
    const cache = new Images(directory);
    const pulls = () => calls.filter((call) => call.startsWith('POST')).length;
    expect(await cache.ensure(engine, 'a/b', 'missing', signal)).toMatchObject({
      id: 'sha256:a/b:latest',
      digest: 'sha256:of-a/b:latest',
    });
    await cache.ensure(engine, 'a/b', 'missing', signal);
    await cache.ensure(engine, 'a/b', 'never', signal);
    expect(pulls()).toBe(1);
    await cache.ensure(engine, 'a/b', 'always', signal);
    expect(pulls()).toBe(2);
  });

  it('is pulled once for all that wait for it', async () => {
    const cache = new Images(directory);
    await Promise.all(Array.from({ length: 5 }, () => cache.ensure(engine, 'busy', 'missing', signal)));
    expect(calls.filter((call) => call.startsWith('POST'))).toHaveLength(1);
  });

  it('that cannot be had says so in the words of AWS and of the engine', async () => {
    const cache = new Images(directory);
    await expect(cache.ensure(engine, 'x:1', 'never', signal)).rejects.toThrow(
      'CannotPullContainerError: image x:1 is not on this node, and its pull policy is never',
    );
    pullAnswer = () => '{"status":"Pulling"}\n{"error":"pull access denied: unauthorized"}\n';
    await expect(cache.ensure(engine, 'x:1', 'missing', signal)).rejects.toThrow(
      'CannotPullContainerError: pull access denied: unauthorized',
    );
  });

  it('goes when those that were pulled here take too much, the longest unused first, and nobody else’s', async () => {
    images.set('theirs:latest', { Id: 'sha256:theirs', Size: 1000 });
    const cache = new Images(directory, 100);
    await cache.ensure(engine, 'theirs', 'missing', signal);
    for (const name of ['one', 'two', 'one', 'three']) {
      await cache.ensure(engine, name, 'missing', signal);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await cache.evict(engine);
    expect([...images.keys()].sort()).toEqual(['one:latest', 'theirs:latest', 'three:latest']);
    // Another agent on the same directory knows what was pulled by the first.
    const next = new Images(directory, 50);
    await next.evict(engine);
    expect([...images.keys()].sort()).toEqual(['theirs:latest', 'three:latest']);
  });
});

it('a name without tag or digest means the latest', () => {
  expect(withTag('busybox')).toBe('busybox:latest');
  expect(withTag('registry:5000/a')).toBe('registry:5000/a:latest');
  expect(withTag('registry:5000/a:1')).toBe('registry:5000/a:1');
  expect(withTag('a@sha256:1')).toBe('a@sha256:1');
});
