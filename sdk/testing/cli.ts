import { EventEmitter } from 'node:events';
import { Writable } from 'node:stream';
import type { HostOptions } from '../cli/host.ts';
import { runCli } from '../cli/run-cli.ts';

// Runs the command line inside a test, against streams that remember.

export interface CliResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly terminal?: { readonly columns: number; readonly rows?: number };
  readonly signals?: EventEmitter;
  /** Called with everything written so far, on each write. */
  readonly onOutput?: (text: string) => void;
}

export async function cli(words: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  const stdout = sink(options);
  const stderr = sink(options);
  const host: HostOptions = {
    stdout: stdout.stream,
    stderr: stderr.stream,
    env: options.env ?? {},
    signals: options.signals ?? new EventEmitter(),
  };
  const code = await runCli(words, host);
  return { code, stdout: stdout.text(), stderr: stderr.text() };
}

function sink({ terminal, onOutput }: CliOptions) {
  const chunks: Buffer[] = [];
  const text = () => Buffer.concat(chunks).toString();
  const stream = new Writable({
    decodeStrings: true,
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk);
      onOutput?.(text());
      done();
    },
  });
  return { stream: Object.assign(stream, terminal === undefined ? {} : { isTTY: true, ...terminal }), text };
}
