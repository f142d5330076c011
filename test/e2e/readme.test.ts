import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { clearLeftovers } from '../harness/leftovers.ts';
import { makePlace, type Place } from '../harness/place.ts';
import { freePort } from '../harness/port.ts';

// What the README tells people to type is typed here as it stands there. `npx galley` is a shell function that runs the
// sources, on a port of the test's own; nothing else differs.

// A dozen processes start one after another, and the machine may be busy.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 60_000 });

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const GALLEY = fileURLToPath(import.meta.resolve('@galley/sdk/cli/main.ts'));
const README = readFileSync(join(ROOT, 'README.md'), 'utf8');

let place: Place;
let preamble: string;

/** The fenced block of this language that holds the text, as it is. */
function block(language: string, text: string): string {
  const blocks = [...README.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)];
  const found = blocks.find(([, of, body]) => of === language && body?.includes(text) === true)?.[2];
  if (found === undefined) throw new Error(`README.md has no ${language} block with ${text}`);
  return found;
}

async function run(program: string, words: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const child = spawn(program, words, {
    cwd: ROOT,
    env: { ...place.environment, GALLEY_DATA_DIR: place.data, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [stdout, stderr]: Buffer[][] = [[], []];
  child.stdout.on('data', (piece: Buffer) => stdout?.push(piece));
  child.stderr.on('data', (piece: Buffer) => stderr?.push(piece));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout: Buffer.concat(stdout ?? []).toString(), stderr: Buffer.concat(stderr ?? []).toString() };
}

const shell = (script: string, env?: NodeJS.ProcessEnv) => run('bash', ['-c', `${preamble}\n${script}`], env);

beforeAll(async () => {
  place = makePlace();
  const port = await freePort();
  preamble = `npx() {
  [ "$1" = galley ] || return 127
  shift
  [ "$1" = up ] && set -- "$@" --port ${port}
  '${process.execPath}' '${GALLEY}' "$@"
}`;
});

afterAll(async () => {
  await shell('npx galley down');
  await clearLeftovers(place.base);
  place.remove();
});

test('the two lines name scripts that exist', () => {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: object };
  const named = [...README.matchAll(/npm (?:run (\w+)|(test))/g)].map(([, script, bare]) => script ?? bare ?? '');
  expect(named).toEqual(expect.arrayContaining(['demo', 'test']));
  for (const name of named) expect(scripts).toHaveProperty(name);
});

test('a first batch by hand, line by line', async () => {
  const lines = block('sh', 'npx galley up').trim().split('\n');
  const seen: string[] = [];
  for (const line of lines) {
    const { code, stdout, stderr } = await shell(line);
    seen.push(`${line} -> ${code}`);
    expect([line, code, stderr]).toEqual([line, line.includes('exit 3') ? 3 : 0, stderr]);
    if (line.startsWith('npx galley logs')) expect(stdout).toBe('hello\n');
    if (line.includes('echo working')) expect(stdout).toBe('working\n');
    if (line === 'npx galley jobs') expect(stdout).toMatch(/FAILED[\s\S]*SUCCEEDED/);
  }
  expect(seen).toHaveLength(8);
});

test('the program, the call from any language and the completion', async () => {
  expect(await shell('npx galley up')).toMatchObject({ code: 0 });
  const program = block('ts', 'connectGalley');
  const ran = await run(process.execPath, ['--input-type=module-typescript', '--eval', program]);
  expect(ran).toMatchObject({ code: 0, stderr: '' });
  expect(ran.stdout).toMatch(/sort[\s\S]*\nSUCCEEDED 0\n$/);

  const { httpAddress } = JSON.parse(readFileSync(join(place.data, 'endpoint.json'), 'utf8')) as {
    httpAddress: string;
  };
  const called = await shell(block('sh', 'curl '), { DATA: place.data, HTTP_ADDRESS: httpAddress });
  expect([called.code, called.stderr]).toEqual([0, called.stderr]);
  expect(JSON.parse(called.stdout)).toMatchObject({ jobName: 'hello', jobQueue: 'default' });

  const [source] = /`(source <\(npx galley completion bash\))`/.exec(README)?.slice(1) ?? ['false'];
  const completed = await shell(`${source}; complete -p galley`);
  expect(completed).toMatchObject({ code: 0, stdout: expect.stringContaining('galley') });
});

test('the file of jobs and the file of a cluster', async () => {
  const [jobs, cluster] = ['jobs.yaml', 'cluster.yaml'].map((name) => {
    const path = join(place.base, name);
    writeFileSync(path, block('yaml', `# ${name}`));
    return path;
  });
  for (const words of [`apply -f ${cluster} --dry-run`, `apply -f ${cluster}`, `submit -f ${jobs} --dry-run`]) {
    const { code, stderr } = await shell(`npx galley ${words}`);
    expect([words, code, stderr]).toEqual([words, 0, stderr]);
  }
  const { code, stderr } = await shell(`npx galley submit -f ${jobs} && npx galley wait @last`);
  rmSync('/tmp/flour', { force: true });
  expect([code, stderr]).toEqual([0, stderr]);
});

test('links lead to files that are there', () => {
  const links = [...README.matchAll(/\]\(([^)#]+)\)/g)].map(([, path]) => path ?? '');
  expect(links.length).toBeGreaterThan(0);
  for (const path of links.filter((link) => !link.includes('://')))
    expect([path, existsSync(join(ROOT, path))]).toEqual([path, true]);
});
