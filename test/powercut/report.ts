/** Lines that one check prints when it fails. */
const PRINTED_LINES = 20;

/** What was checked, one line each as it happens. */
export class Report {
  #passed = 0;
  #failed = 0;

  check(name: string, problems: readonly string[]): void {
    if (problems.length === 0) this.passed(name);
    else this.failed(name, problems);
  }

  passed(name: string): void {
    this.#passed += 1;
    console.log(`ok   ${name}`);
  }

  failed(name: string, problems: readonly string[]): void {
    this.#failed += 1;
    console.log(`FAIL ${name}`);
    for (const problem of problems.slice(0, PRINTED_LINES)) console.log(`     ${problem}`);
    if (problems.length > PRINTED_LINES) console.log(`     and ${problems.length - PRINTED_LINES} more`);
  }

  /** Prints the tally and answers the exit status. */
  finish(): number {
    console.log(`${this.#passed} passed, ${this.#failed} failed`);
    return this.#failed === 0 ? 0 : 1;
  }
}
