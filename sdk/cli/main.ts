import process from 'node:process';
import { runCli } from './run-cli.ts';

// The first file of the `galley` command.

/** What may be left open after a command (a connection that closes) has this long; then the process ends anyway. */
const LINGER_MS = 1_000;

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // Whoever read our output has had enough (`galley jobs | head`).
  process.exit(error.code === 'EPIPE' ? 0 : 125);
});

process.exitCode = await runCli(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  signals: process,
});
setTimeout(() => process.exit(), LINGER_MS).unref();
