import { execFileSync } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { Writable } from 'node:stream';
import { expect, test } from 'vitest';
import { completionScript } from './completion.ts';
import { createHost } from './host.ts';
import { createProgram } from './program.ts';

const sink = new Writable({ write: (_chunk, _encoding, done) => done() });
const program = createProgram(createHost({ stdout: sink, stderr: sink, env: {}, signals: new EventEmitter() }));

/** What bash offers after these words, the last of which is being typed. */
function complete(...words: string[]): string[] {
  const script = `${completionScript('bash', program)}
compopt() { :; }
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _galley; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return execFileSync('bash', ['-c', script, 'bash', ...words], { encoding: 'utf8' })
    .trim()
    .split('\n');
}

test('bash completes commands, their options and the values of options', () => {
  expect(complete('galley', 'su')).toEqual(['submit']);
  expect(complete('galley', 'queue', 'cr')).toEqual(['create']);
  expect(complete('galley', 'queue', 'create', 'myqueue', '--pri')).toEqual(['--priority']);
  expect(complete('galley', 'run', '--on-node-lost', 'f')).toEqual(['fenced', 'fail']);
  expect(complete('galley', '--json', 'jobs', '--st')).toEqual(['--state']);
  expect(complete('galley', 'run', '--', 'su')).toEqual(['']);
});

test('every command and option of the tree is in each script', () => {
  for (const shell of ['bash', 'zsh', 'fish'] as const) {
    const script = completionScript(shell, program);
    for (const command of program.commands) expect(script).toContain(command.name());
  }
  expect(completionScript('fish', program)).toContain(
    "complete -c galley -n '__fish_seen_subcommand_from queue; and __fish_seen_subcommand_from create' -l priority -r",
  );
});
