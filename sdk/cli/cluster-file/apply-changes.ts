import type { GalleyClient } from '../../client.ts';
import { GalleyError } from '../../errors.ts';
import { CliError } from '../exit.ts';
import type { Change } from './plan.ts';

interface Done {
  readonly change: Change;
  readonly undo: (() => Promise<unknown>) | undefined;
}

/**
 * Makes the changes one after another. When one fails, those before it are undone, newest first, so that nothing is half
 * done; deletions stand at the end and are not undone, so from the first of them on what was done is kept. Throws a CliError that
 * says what stands.
 */
export async function applyChanges(client: GalleyClient, changes: readonly Change[]): Promise<void> {
  const done: Done[] = [];
  for (const change of changes) {
    try {
      done.push({ change, undo: await change.apply(client) });
    } catch (error) {
      const failed = `${titleOf(change)} failed: ${messageOf(error)}`;
      // Whether it was done is not known: to undo what it may stand on could only fail, or do harm.
      if (error instanceof GalleyError && error.code === 'OUTCOME_UNKNOWN') {
        throw new CliError([failed, ...standing(done), '  look with --dry-run, then apply again'].join('\n'));
      }
      if (done.some((each) => each.undo === undefined)) throw new CliError([failed, ...standing(done)].join('\n'));
      const kept = await undoAll(done);
      if (kept.length === 0) throw new CliError(`${failed}\n  everything before it was undone; nothing has changed`);
      throw new CliError([failed, ...standing(kept), '  the rest was undone'].join('\n'));
    }
  }
}

/** Answers what could not be undone. */
async function undoAll(done: readonly Done[]): Promise<Done[]> {
  const kept: Done[] = [];
  for (const each of done.toReversed()) {
    try {
      await each.undo?.();
    } catch {
      kept.unshift(each);
    }
  }
  return kept;
}

function standing(done: readonly Done[]): string[] {
  if (done.length === 0) return ['  nothing was done before it'];
  return ['  done before it, and kept:', ...done.map(({ change }) => `    ${titleOf(change)}`)];
}

export function titleOf({ action, kind, name }: Change): string {
  return `${action} ${kind} ${name}`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
