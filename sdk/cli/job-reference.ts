import type { GalleyClient } from '../client.ts';
import type { Job } from '../types.ts';
import { CliError } from './exit.ts';
import type { Session } from './host.ts';
import { type Place, readLastJob } from './last-job.ts';

/** How jobs are named on the command line, for help texts. */
export const JOB_REFERENCE_HELP =
  'number, id, the first 4 or more characters of an id, or @last; 12:7 is child 7 of array 12';

const FULL_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(:\d{1,7})?$/i;
const MIN_PREFIX_LENGTH = 4;

/** What the server understands, from what a person typed: `@last` is replaced, nonsense is refused here. */
export function toServerReference(session: Pick<Session, 'env'>, place: Place, reference: string): string {
  const child = /^(.+)(:\d{1,7})$/.exec(reference);
  if (child !== null) return `${toServerReference(session, place, child[1] ?? '')}${child[2]}`;
  if (reference === '@last') {
    const last = readLastJob(session.env, place);
    if (last !== undefined) return last;
    throw new CliError(`@last: no job has been submitted from here to ${place.address} yet`, [
      'galley submit -- COMMAND',
    ]);
  }
  const text = reference.replace(/^#/, '');
  const isNumber = /^[1-9]\d{0,17}$/.test(text);
  const isPrefix = text.length >= MIN_PREFIX_LENGTH && /^[0-9a-f-]{4,36}$/i.test(text);
  if (isNumber || isPrefix) return text;
  throw new CliError(`a job is named by its ${JOB_REFERENCE_HELP}; got "${reference}"`, ['galley jobs']);
}

/** The jobs that references name, in their order. */
export async function findJobs(session: Session, references: readonly string[]): Promise<Job[]> {
  const client = await session.client();
  return Promise.all(references.map((reference) => findJob(session, client, reference)));
}

export function findJob(session: Session, client: GalleyClient, reference: string): Promise<Job> {
  return client.getJob(toServerReference(session, client, reference));
}

/** Ids only; a full id is taken as it is, without asking. */
export async function findJobIds(session: Session, references: readonly string[]): Promise<string[]> {
  const client = await session.client();
  return Promise.all(
    references.map(async (reference) => {
      const known = toServerReference(session, client, reference);
      return FULL_ID.test(known) ? known : (await client.getJob(known)).summary.jobId;
    }),
  );
}
