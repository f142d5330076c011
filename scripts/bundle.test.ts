import { execFile } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { bundle } from './bundle.ts';
import { ROOT } from './sources.ts';

const run = promisify(execFile);
const DAY_MS = 24 * 3600 * 1000;

const SOURCES = {
  'sdk/cli/main.ts': `
    import { createRequire } from 'node:module';
    const command: string | undefined = process.argv[2];
    if (command === 'server') {
      const { serve } = await import('../../agent/server.ts');
      console.log(await serve());
    } else {
      console.log('client', typeof createRequire);
    }`,
  'agent/server.ts': `
    import { readFileSync } from 'node:fs';
    import { Worker } from 'node:worker_threads';
    export async function serve(): Promise<string> {
      const worker = new Worker(new URL('./worker.ts', import.meta.url));
      const answer = await new Promise<string>((resolve, reject) => worker.once('message', resolve).once('error', reject));
      return answer + readFileSync(new URL('./shim.sh', import.meta.url), 'utf8');
    }`,
  'agent/worker.ts': `import { parentPort } from 'node:worker_threads';\nparentPort?.postMessage('from the worker, ');`,
  'agent/shim.sh': 'from the file',
};

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'galley-bundle-'));
  for (const [path, text] of Object.entries(SOURCES)) {
    mkdirSync(join(root, path, '..'), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  mkdirSync(join(root, 'sdk/bin'), { recursive: true });
  copyFileSync(join(ROOT, 'sdk/bin/galley'), join(root, 'sdk/bin/galley'));
  chmodSync(join(root, 'sdk/bin/galley'), 0o755);
});

afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

function bundleAll(): Promise<string[]> {
  return bundle({ root, entry: 'sdk/cli/main.ts', dist: 'sdk/dist', sources: Object.keys(SOURCES) });
}

async function galley(...args: readonly string[]): Promise<string> {
  const environment = { ...process.env, PATH: `${join(process.execPath, '..')}:${process.env['PATH'] ?? ''}` };
  return (await run(join(root, 'sdk/bin/galley'), args, { env: environment })).stdout.trim();
}

test('a bundled command runs without the sources, workers and files included', async () => {
  await bundleAll();
  rmSync(join(root, 'agent'), { recursive: true });
  rmSync(join(root, 'sdk/cli'), { recursive: true });
  expect(await galley()).toBe('client function');
  expect(await galley('server')).toBe('from the worker, from the file');
});

test('a client command does not load the server', async () => {
  await bundleAll();
  for (const path of (await bundleAll()).filter((path) => path.includes('chunk-') || path.includes('server-'))) {
    rmSync(join(root, path));
  }
  expect(await galley()).toBe('client function');
  await expect(galley('server')).rejects.toThrow('Cannot find module');
});

test('what a running server has yet to load outlives a rebuild, for a day', async () => {
  await bundleAll();
  const fresh = join(root, 'sdk/dist/chunk-FRESH.mjs');
  const old = join(root, 'sdk/dist/chunk-OLD.mjs');
  for (const path of [fresh, old]) writeFileSync(path, '');
  const before = new Date(Date.now() - 2 * DAY_MS);
  utimesSync(old, before, before);
  await bundleAll();
  expect([existsSync(fresh), existsSync(old)]).toEqual([true, false]);
});

test('refuses a source that would look for its neighbours in the wrong place', async () => {
  writeFileSync(join(root, 'agent/server.ts'), 'export const serve = (): string => import.meta.dirname;');
  await expect(bundleAll()).rejects.toThrow('agent/server.ts: import.meta.dirname means another place in the bundle');
});

test('without a bundle the command says what to run', async () => {
  await expect(galley()).rejects.toMatchObject({ code: 125, stderr: expect.stringContaining("run 'npm run build'") });
});
