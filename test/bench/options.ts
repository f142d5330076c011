import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import { BENCHES } from './catalogue.ts';
import type { Bench } from './types.ts';

export interface BenchOptions {
  readonly json: boolean;
  readonly quick: boolean;
  readonly profile: boolean;
  readonly benches: readonly Bench[];
  /** Below it, each benchmark gets a directory of its own. */
  readonly directory: string;
}

export const HELP = `npm run bench -- [options]

Measures Galley beside the floor of this machine, with what is shipped as defaults: every write synced, logs on, every call
authenticated. A whole run takes about five minutes; nothing else should run meanwhile.

  --only NAME       one benchmark; may be repeated: ${BENCHES.map(({ name }) => name).join(', ')}
  --quick           fewer and shorter rounds: to see that it works, not to quote
  --json            one JSON document on stdout (progress stays on stderr)
  --profile         say where the CPU time of Galley's processes went
  --directory PATH  where state is written, on a local disk (default: the system's temporary directory)
`;

/** Throws an Error that says what is wrong. */
export function parseOptions(words: readonly string[]): BenchOptions | 'help' {
  const { values } = parseArgs({
    args: [...words],
    options: {
      only: { type: 'string', multiple: true, default: [] },
      quick: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      profile: { type: 'boolean', default: false },
      directory: { type: 'string', default: tmpdir() },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return 'help';
  for (const name of values.only) {
    if (!BENCHES.some((bench) => bench.name === name)) {
      throw new Error(`--only takes ${BENCHES.map((bench) => bench.name).join(', ')}; got "${name}"`);
    }
  }
  return {
    json: values.json,
    quick: values.quick,
    profile: values.profile,
    benches: BENCHES.filter(({ name }) => values.only.length === 0 || values.only.includes(name)),
    directory: values.directory,
  };
}
