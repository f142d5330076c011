import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

// `@last`: the last job that this user submitted from this machine, per control plane.

/** Control planes that are remembered; the oldest give way. */
const MAX_PLACES = 32;

type LastJobs = Readonly<Record<string, string>>;

function statePath(env: NodeJS.ProcessEnv): string {
  const state = env['XDG_STATE_HOME'];
  return join(
    state === undefined || state === '' ? join(homedir(), '.local', 'state') : state,
    'galley',
    'last-job.json',
  );
}

/** A control plane: its data directory where that is known, since its port may change, else its address. */
export interface Place {
  readonly address: string;
  readonly dataDirectory: string | undefined;
}

const keyOf = ({ address, dataDirectory }: Place): string => dataDirectory ?? address;

/** The id of the last job submitted to a control plane. */
export function readLastJob(env: NodeJS.ProcessEnv, place: Place): string | undefined {
  return readAll(env)[keyOf(place)];
}

/** Never throws: a job is submitted although its id could not be noted. */
export function writeLastJob(env: NodeJS.ProcessEnv, place: Place, jobId: string): void {
  const key = keyOf(place);
  const path = statePath(env);
  const others = Object.entries(readAll(env)).filter(([other]) => other !== key);
  const jobs = Object.fromEntries([...others.slice(1 - MAX_PLACES), [key, jobId]]);
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const temporary = `${path}.${process.pid}`;
    writeFileSync(temporary, JSON.stringify(jobs), { mode: 0o600 });
    renameSync(temporary, path);
  } catch {
    // A read-only home is no reason to fail a submit that has succeeded.
  }
}

function readAll(env: NodeJS.ProcessEnv): LastJobs {
  try {
    const value: unknown = JSON.parse(readFileSync(statePath(env), 'utf8'));
    if (typeof value !== 'object' || value === null) return {};
    return Object.fromEntries(Object.entries(value).filter(([, id]) => typeof id === 'string')) as LastJobs;
  } catch {
    return {};
  }
}
