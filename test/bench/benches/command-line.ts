import { spawnSync } from 'node:child_process';
import { alternate, toRow } from '../rounds.ts';
import { median, rounded } from '../stats.ts';
import { COMMAND, withGalley } from '../system/galley.ts';
import type { Bench } from '../types.ts';

/** What a gRPC client needs of Node: most of the time between bare Node and an answer. */
const BUILT_INS =
  "for (const name of ['http2', 'net', 'tls', 'dns', 'zlib', 'crypto', 'fs', 'os', 'url']) require(name)";

/** `galley submit` as a shell script calls it. */
export const commandLine: Bench = {
  name: 'command-line',
  run: (context) =>
    withGalley(context, { agent: false }, async (galley) => {
      const rounds = context.quick ? 5 : 25;
      const env = galley.environment;
      const builtIns: number[] = [];
      const submit = () => timed(COMMAND, ['submit', '--', 'true'], env);
      const bareNode = () => timed(process.execPath, ['-e', '0'], env);
      submit();
      bareNode();
      await galley.begin();
      const measured = await alternate(
        rounds,
        async () => submit(),
        async () => {
          builtIns.push(timed(process.execPath, ['-e', BUILT_INS], env));
          return bareNode();
        },
      );
      const processes = await galley.end();
      const row = toRow(
        { name: 'command-line', what: '`galley submit -- true` from the shell', unit: 'ms', better: 'lower' },
        measured,
        'bare node start (`node -e 0`)',
      );
      return { rows: [row], processes, detail: { nodeWithBuiltInsMs: rounded(median(builtIns)) } };
    }),
};

function timed(program: string, words: readonly string[], env: NodeJS.ProcessEnv): number {
  const from = performance.now();
  const { status, stderr } = spawnSync(program, words, { env, cwd: '/', encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program} ${words.join(' ')} ended with ${status}: ${stderr}`);
  return performance.now() - from;
}
