/** Counts what vitest's JSON report tells; a run that broke without a failing test still counts as a failure. */
import { relative } from 'node:path';

export interface Tally {
  readonly passed: number;
  readonly failed: number;
  /** What somebody who reads only the end should see: failed and skipped tests by name. */
  readonly notes: readonly string[];
}

/** The part of the report that is read here. */
interface Report {
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }[];
}

/** `status` is vitest's exit status; `read` returns the report's text and throws where there is none. */
export function readVitestReport(status: number, read: () => string, root: string): Tally {
  let report: Report;
  try {
    report = JSON.parse(read()) as Report;
  } catch (error) {
    return { passed: 0, failed: 1, notes: [`FAIL vitest ended with status ${status} and no report: ${String(error)}`] };
  }

  let passed = 0;
  let failed = 0;
  const notes: string[] = [];
  for (const file of report.testResults) {
    const name = relative(root, file.name);
    const tests = file.assertionResults;
    passed += tests.filter((test) => test.status === 'passed').length;
    for (const test of tests) {
      if (test.status === 'failed') failed += 1;
      if (test.status !== 'passed')
        notes.push(`${test.status === 'failed' ? 'FAIL' : test.status} ${name}: ${test.fullName}`);
    }
    // A file that could not be loaded, or whose hooks failed, has no failing test of its own.
    if (file.status === 'failed' && !tests.some((test) => test.status === 'failed')) {
      failed += 1;
      notes.push(`FAIL ${name}`);
    }
  }
  if (status !== 0 && failed === 0) {
    failed += 1;
    notes.push(`FAIL vitest ended with status ${status} although no test failed (an unhandled error?)`);
  }
  return { passed, failed, notes };
}
