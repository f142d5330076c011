import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jobScript, MAXIMUM_ARGUMENT_BYTES, MAXIMUM_COMMAND_BYTES, quote, unacceptable } from './job-script.ts';
import { findTools } from './launcher.ts';

const tools = findTools();
/** Any text that an argument can hold; weighted towards what a shell could take for something else. */
const text = fc
  .array(fc.oneof(fc.constantFrom("'", '"', '\\', '$', '`', '\n', ' ', '-', '=', '\t', '\r', '!', '*'), fc.string()))
  .map((parts) => parts.join('').replaceAll('\0', ''))
  // A lone surrogate has no UTF-8: it would come back as the replacement character.
  .filter((value) => value.isWellFormed());

describe('a quoted text', () => {
  it('is, to the shell, that text and nothing else', () => {
    fc.assert(
      fc.property(fc.array(text, { minLength: 1, maxLength: 20 }), (texts) => {
        const script = `printf '%s\\0' ${texts.map(quote).join(' ')}`;
        const { stdout } = spawnSync(tools.shell, { input: script, encoding: 'utf8' });
        expect(stdout.split('\0').slice(0, -1)).toEqual(texts);
      }),
      { numRuns: 50 },
    );
  });
});

describe('the job script', () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'galley-script-'));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  /** Runs a script as the launcher would, and gives what it wrote for the agent and what the job said. */
  function run(script: string): { record: string; hints: string; stdout: string; status: number | null } {
    const files = `3>"$1/record" 4>"$1/hints"`;
    const { stdout, status } = spawnSync('sh', ['-c', `exec ${tools.shell} ${files}`, 'sh', directory], {
      input: script,
      encoding: 'utf8',
    });
    const read = (name: string) => readFileSync(join(directory, name), 'utf8');
    return { record: read('record'), hints: read('hints'), stdout, status };
  }

  it('hands any arguments and variables over unchanged', () => {
    const name = text.filter((value) => value !== '' && !value.includes('='));
    fc.assert(
      fc.property(fc.array(text), fc.dictionary(name, text, { maxKeys: 5 }), (args, variables) => {
        const environment = { ...variables, PATH: '/usr/bin:/bin' };
        const program = 'printf "%s\\0" "$@"; tr "\\0" "\\001" </proc/self/environ';
        const script = jobScript(
          { key: 'k', argv: ['sh', '-c', program, 'sh', 'first', ...args], environment, home: '/' },
          tools,
        );
        const { stdout, status } = run(script);
        expect(status).toBe(0);
        const parts = stdout.split('\0');
        expect(parts.slice(0, args.length + 1)).toEqual(['first', ...args]);
      }),
      { numRuns: 40 },
    );
  });

  it('gives the job the variables that it names and no other', () => {
    const environment = { PATH: '/usr/bin:/bin', 'odd name.': 'a\nb', IFS: 'x', OPTIND: 'word', PPID: '1' };
    const { stdout } = run(jobScript({ key: 'k', argv: ['env', '-0'], environment, home: '/' }, tools));
    const lines = stdout.split('\0').filter((line) => line !== '');
    expect(lines.sort()).toEqual(
      Object.entries(environment)
        .map(([key, value]) => `${key}=${value}`)
        .sort(),
    );
  });

  it('says when it is about to become the job, and only then', () => {
    const base = { key: 'key-1', environment: { PATH: '/usr/bin:/bin' }, home: '/' };
    const started = run(jobScript({ ...base, argv: ['true'] }, tools));
    expect(started.record).toMatch(/^started \d+\.\d\d\n$/);
    expect(started.hints).toBe('s key-1\n');
    const missing = run(jobScript({ ...base, argv: ['no-such-program'] }, tools));
    expect(missing).toMatchObject({ record: 'failed command\n', hints: '', status: 127 });
    const nowhere = run(jobScript({ ...base, argv: ['true'], workingDirectory: '/no/such' }, tools));
    expect(nowhere).toMatchObject({ record: 'failed directory\n', hints: '', status: 126 });
  });
});

describe('a command that the kernel could not take', () => {
  it.each([
    [{ argv: [], environment: {} }, 'command: must name a program'],
    [{ argv: [''], environment: {} }, 'command: must name a program'],
    [{ argv: ['a', 'b\0'], environment: {} }, 'command[1]: must not contain a NUL'],
    [{ argv: ['a'], environment: { X: '\0' } }, 'environment["X"]: must not contain a NUL'],
    [{ argv: ['a'], environment: { 'A=B': '' } }, 'environment: "A=B" is not the name'],
    [{ argv: ['a'], environment: { '': 'x' } }, 'environment: "" is not the name'],
    [{ argv: ['a'], environment: {}, workingDirectory: 'x\0' }, 'workingDirectory: must not contain a NUL'],
    [{ argv: ['x'.repeat(MAXIMUM_ARGUMENT_BYTES + 1)], environment: {} }, `at most ${MAXIMUM_ARGUMENT_BYTES} bytes`],
    [
      { argv: Array.from({ length: 20 }, () => 'x'.repeat(100_000)), environment: {} },
      `at most ${MAXIMUM_COMMAND_BYTES} bytes together`,
    ],
  ])('%# is refused with field, constraint and value', (command, message) => {
    expect(unacceptable(command)).toContain(message);
  });

  it('at the very bounds is taken', () => {
    expect(unacceptable({ argv: ['x'.repeat(MAXIMUM_ARGUMENT_BYTES)], environment: {} })).toBeUndefined();
  });
});
