/**
 * `npm test`: everything that must hold before a change lands, in order of how fast it answers. Each check counts as
 * one, each test of vitest as one; the last line is `N passed, N failed`, and the exit status is 1 if anything failed.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from './sources.ts';
import { runTool } from './tools.ts';
import { readVitestReport, type Tally } from './vitest-report.ts';

const NODE = process.execPath;

/** Name, command, arguments. */
const CHECKS: readonly (readonly [string, string, readonly string[]])[] = [
  ['generated code', NODE, ['scripts/check-generated.ts']],
  ['types', 'tsc', ['-b']],
  ['format', 'biome', ['ci', '--colors=off', '.']],
  ['lint', 'oxlint', ['--deny-warnings']],
  ['architecture', NODE, ['scripts/check-architecture.ts']],
  ['words', NODE, ['scripts/check-words.ts']],
  ['contract', 'buf', ['lint']],
  ['lock file', NODE, ['scripts/check-lock.ts']],
  ['bundle', NODE, ['scripts/build.ts']],
];

async function runCheck(name: string, command: string, args: readonly string[]): Promise<boolean> {
  const started = performance.now();
  const { status, output } = await runTool(command, args);
  const passed = status === 0;
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`${passed ? 'ok  ' : 'FAIL'} ${name} (${seconds} s)`);
  if (!passed) console.log(output.trimEnd());
  return passed;
}

async function runVitest(filters: readonly string[]): Promise<Tally> {
  const temporary = mkdtempSync(join(tmpdir(), 'galley-vitest-'));
  const report = join(temporary, 'report.json');
  try {
    const { status } = await runTool(
      'vitest',
      ['run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`, ...filters],
      { live: true },
    );
    return readVitestReport(status, () => readFileSync(report, 'utf8'), ROOT);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

const tally = { passed: 0, failed: 0 };
for (const [name, command, args] of CHECKS) {
  if (await runCheck(name, command, args)) tally.passed += 1;
  else tally.failed += 1;
}

const tests = await runVitest(process.argv.slice(2));
for (const line of tests.notes) console.log(line);
console.log(`${tally.passed + tests.passed} passed, ${tally.failed + tests.failed} failed`);
process.exitCode = tally.failed + tests.failed === 0 ? 0 : 1;
