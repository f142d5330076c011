/** Runs the development tools of `node_modules` on the Node that runs this, whatever the system has. */
import { spawn } from 'node:child_process';
import { delimiter, dirname, join } from 'node:path';
import { ROOT } from './sources.ts';

export interface Finished {
  /** Exit status; 1 where a signal ended it, which `output` then names. */
  readonly status: number;
  /** stdout and stderr in the order written. */
  readonly output: string;
}

/** `node_modules/.bin` and this very Node first, so that tools that start tools (buf its plugins) find the same ones. */
export function toolEnvironment(): NodeJS.ProcessEnv {
  const path = [join(ROOT, 'node_modules', '.bin'), dirname(process.execPath), process.env['PATH'] ?? ''];
  return { ...process.env, PATH: path.join(delimiter) };
}

/** Runs a command in the repository's root. With `live`, its output passes through instead of being kept. */
export function runTool(
  command: string,
  args: readonly string[],
  { live = false }: { readonly live?: boolean } = {},
): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: ROOT,
      env: { ...toolEnvironment(), ...(live && process.stdout.isTTY ? {} : { NO_COLOR: '1' }) },
      stdio: live ? 'inherit' : ['ignore', 'pipe', 'pipe'],
    });
    const chunks: Buffer[] = [];
    child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.stderr?.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.once('error', reject);
    child.once('close', (code, signal) => {
      const output = Buffer.concat(chunks).toString('utf8');
      resolve({ status: code ?? 1, output: signal === null ? output : `${output}\nended by ${signal}` });
    });
  });
}
