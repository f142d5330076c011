import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The directories of one test, which go away with it. */
export interface Place {
  readonly base: string;
  /** Of the control plane; not made yet. */
  readonly data: string;
  /** Where jobs of any user may write. */
  readonly shared: string;
  /** For the command line, which notes `@last` below its home. */
  readonly environment: NodeJS.ProcessEnv;
  remove(): void;
}

export function makePlace(): Place {
  const base = mkdtempSync(join(realpathSync(tmpdir()), 'galley-e2e-'));
  // Jobs run as somebody else, and must get through to `shared`.
  chmodSync(base, 0o755);
  const shared = join(base, 'shared');
  const home = join(base, 'home');
  for (const directory of [shared, home]) mkdirSync(directory);
  chmodSync(shared, 0o1777);
  return {
    base,
    data: join(base, 'data'),
    shared,
    environment: { PATH: process.env['PATH'], HOME: home, NO_COLOR: '1' },
    remove: () => rmSync(base, { recursive: true, force: true, maxRetries: 5 }),
  };
}

/** A file's text; empty where there is none. */
export function textOf(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}
