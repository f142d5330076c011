import { expect, test } from 'vitest';
import { readVitestReport } from './vitest-report.ts';

function report(...files: readonly { name?: string; status: string; tests: readonly string[] }[]): () => string {
  return () =>
    JSON.stringify({
      testResults: files.map(({ name, status, tests }) => ({
        name: name ?? '/repo/a.test.ts',
        status,
        assertionResults: tests.map((result, index) => ({ fullName: `case ${index}`, status: result })),
      })),
    });
}

test('counts tests, and names what failed or was skipped', () => {
  const read = report({ status: 'failed', tests: ['passed', 'failed', 'skipped'] });
  expect(readVitestReport(1, read, '/repo')).toEqual({
    passed: 1,
    failed: 1,
    notes: ['FAIL a.test.ts: case 1', 'skipped a.test.ts: case 2'],
  });
});

test('a file that could not be loaded is a failure although it has no test', () => {
  const read = report({ status: 'failed', tests: [] }, { status: 'passed', tests: ['passed'] });
  expect(readVitestReport(1, read, '/repo')).toMatchObject({ passed: 1, failed: 1, notes: ['FAIL a.test.ts'] });
});

test('an unhandled error is a failure although every test passed', () => {
  expect(readVitestReport(1, report({ status: 'passed', tests: ['passed'] }), '/repo')).toMatchObject({
    passed: 1,
    failed: 1,
  });
});

test('no report at all is a failure', () => {
  const read = (): string => {
    throw new Error('no such file');
  };
  expect(readVitestReport(0, read, '/repo')).toMatchObject({ passed: 0, failed: 1 });
});
