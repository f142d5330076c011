import { fromBinary } from '@bufbuild/protobuf';
import { type JobDefinition, JobDefinitionSchema } from '@galley/proto';
import type { CoreView, DefinitionView } from '../core/view.ts';
import { ApiError, invalid, notFound } from './errors.ts';

/** The definition of a job that names none. Registered when the store is made; an ordinary definition otherwise. */
export const DEFAULT_DEFINITION = 'default';

/** Decoded revisions that are kept at hand. */
const MAX_CACHED_DEFINITIONS = 2_000;

/** `name` or `name:revision`. */
export interface DefinitionRef {
  readonly name: string;
  /** Undefined: the newest active one. */
  readonly revision: number | undefined;
}

const REFERENCE = /^([A-Za-z0-9][A-Za-z0-9_-]{0,127})(?::([1-9][0-9]{0,8}))?$/;

export function parseDefinitionRef(text: string): DefinitionRef {
  const match = REFERENCE.exec(text === '' ? DEFAULT_DEFINITION : text);
  if (match?.[1] === undefined) throw invalid('job_definition', `must be a name or name:revision, got ${quoted(text)}`);
  return { name: match[1], revision: match[2] === undefined ? undefined : Number(match[2]) };
}

/** A revision, decoded. Never changes. */
export interface CompiledDefinition {
  /** `name:revision`. */
  readonly id: string;
  readonly message: JobDefinition;
}

/** Decodes each revision once. */
export class DefinitionCache {
  readonly #byKey = new Map<string, CompiledDefinition>();

  compiled(view: DefinitionView): CompiledDefinition {
    const key = `${view.account}/${view.name}:${view.revision}`;
    let definition = this.#byKey.get(key);
    if (definition === undefined) {
      definition = { id: `${view.name}:${view.revision}`, message: fromBinary(JobDefinitionSchema, view.body) };
      if (this.#byKey.size >= MAX_CACHED_DEFINITIONS) this.#byKey.clear();
      this.#byKey.set(key, definition);
    }
    return definition;
  }

  /** The revision that a new job uses. */
  forNewJob(view: CoreView, account: string, text: string): CompiledDefinition {
    const { name, revision } = parseDefinitionRef(text);
    const found = view.definition(account, name, revision);
    if (found === undefined) {
      if (revision !== undefined) throw notFound('job_definition', `job definition ${quoted(text)}`);
      const named = quoted(text || DEFAULT_DEFINITION);
      const description = `job definition ${named} does not exist, or has no active revision`;
      throw new ApiError('NOT_FOUND', description, { violations: [{ field: 'job_definition', description }] });
    }
    if (!found.active) {
      const description = `job definition ${quoted(text)} was deregistered and takes no new jobs`;
      throw new ApiError('FAILED_PRECONDITION', description, {
        violations: [{ field: 'job_definition', description }],
      });
    }
    return this.compiled(found);
  }

  /** The revision that a job was submitted with, active or not. */
  pinned(view: CoreView, account: string, id: string): CompiledDefinition | undefined {
    const { name, revision } = parseDefinitionRef(id);
    const found = view.definition(account, name, revision);
    return found === undefined ? undefined : this.compiled(found);
  }
}

function quoted(text: string): string {
  return `"${text}"`;
}
