import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Job } from '../../types.ts';
import { countStates } from './batch.ts';
import { findCorpus, splitFiles } from './corpus.ts';
import { costOf } from './cost.ts';
import { prepareStage } from './stage.ts';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'galley-demo-test-'));
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

function write(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

test('files are split into groups of about the same size, none lost', () => {
  const files = [900, 10, 500, 490, 30, 20].map((bytes, index) => write(`${index}.md`, 'x'.repeat(bytes)));
  const groups = splitFiles(files, 3);
  expect(groups.flat().sort()).toEqual([...files].sort());
  const sizes = groups.map((group) => group.reduce((sum, file) => sum + statSync(file).size, 0));
  expect(Math.max(...sizes)).toBe(900);
  expect(splitFiles(files, 100)).toHaveLength(files.length);
});

test('maps and merge, run as the demo runs them, count every word once', () => {
  const files = [write('a.md', 'Salt and salt and https://salt.example/salt'), write('b.md', 'SALT, pepper')];
  mkdirSync(join(directory, 'root'));
  const stage = prepareStage(join(directory, 'root'), files, 2);
  const run = (...words: string[]) => execFileSync(stage.node, words, { encoding: 'utf8', cwd: stage.directory });
  for (const { list, output } of stage.parts) run(stage.mapScript, list, output);
  const said = run(stage.mergeScript, stage.index, ...stage.parts.map(({ output }) => output));
  expect(said).toContain('6 words, 3 of them distinct, in 2 Markdown files');
  expect(said).toMatch(/3 {2}salt +in 2 files/);
  const index = JSON.parse(readFileSync(stage.index, 'utf8')) as {
    files: string[];
    words: Record<string, [number, number][]>;
  };
  const holders = (index.words['salt'] ?? []).map(([file, count]) => [index.files[file], count]);
  expect(holders).toHaveLength(2);
  // As root the files were copied to where the jobs' user can read them.
  expect(holders.map(([file, count]) => [String(file).slice(-4), count])).toEqual(
    expect.arrayContaining([
      ['a.md', 2],
      ['b.md', 1],
    ]),
  );
});

test('what the jobs need is open to the unprivileged user that runs the jobs of a root agent', () => {
  const stage = prepareStage(directory, [write('a.md', 'x')], 1);
  expect(statSync(stage.directory).mode & 0o7777).toBe(0o1777);
  for (const path of [stage.mapScript, stage.mergeScript]) expect(statSync(path).mode & 0o444).toBe(0o444);
  const listed = readFileSync(stage.parts[0]?.list ?? '', 'utf8');
  // The file stands in a directory that only its owner may enter; as root that is not who runs the jobs.
  expect(listed.includes(stage.directory)).toBe(process.getuid?.() === 0);
});

test('the project itself has something to read', () => {
  const corpus = findCorpus();
  expect(corpus?.files.length).toBeGreaterThan(10);
});

test('costs are summed over attempts', () => {
  const job = (createdAtMs: number, attempts: object[]) =>
    ({ summary: { createdAtMs, stoppedAtMs: createdAtMs + 100 }, attempts }) as unknown as Job;
  const attempt = (startedAtMs: number, peakMemoryBytes?: number) => ({
    startedAtMs,
    stoppedAtMs: startedAtMs + 10,
    cpuTimeUs: 2_000,
    ...(peakMemoryBytes === undefined ? {} : { peakMemoryBytes }),
  });
  const cost = costOf([job(0, [attempt(5, 30), attempt(20, 10)]), job(50, [attempt(60, 20)])]);
  expect(cost).toEqual({
    jobs: 2,
    wallTimeMs: 150,
    cpuTimeMs: 6,
    peakMemoryMaxBytes: 30,
    peakMemoryMedianBytes: 20,
    medianRunTimeMs: 10,
  });
  expect(costOf([job(0, [attempt(1)])])).toMatchObject({ peakMemoryMaxBytes: undefined });
});

test('progress in one line', () => {
  const states = new Map([
    ['a', 'SUCCEEDED'],
    ['b', 'RUNNING'],
    ['c', 'PENDING'],
    ['d', 'STARTING'],
  ] as const);
  expect(countStates(states)).toBe('1 done, 2 running, 1 waiting');
});
