import type { TextDocument, Value } from '../document/document.ts';
import type { JobOptions } from '../job-options.ts';
import { type Fields, jobFields, NOTHING_SAID, readSaid, type Said } from './fields.ts';
import { inOrder } from './order.ts';

/** How a dependency must end, as a file says it. */
const DEPENDENCY_TYPES = ['sequential', 'n_to_n', 'after_any', 'after_not_ok'] as const;

/** Jobs of one file: what the control plane takes as one. */
export const MAX_FILE_JOBS = 1_000;

const NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$/;
const NAME_RULE = 'must be 1 to 128 letters, digits, - and _, beginning with a letter or digit';

export interface FileDependency {
  /** Another job of the file, by its place; or one that was submitted before, as a person names it. */
  readonly on:
    | { readonly kind: 'inFile'; readonly place: number }
    | { readonly kind: 'submitted'; readonly job: string };
  readonly type: (typeof DEPENDENCY_TYPES)[number] | undefined;
}

export interface FileJob {
  /** Where it stands in the file, for mistakes that the control plane finds. */
  readonly value: Value;
  readonly fields: ReadonlyMap<string, Value>;
  readonly options: JobOptions;
  readonly command: readonly string[];
  readonly dependsOn: readonly FileDependency[];
}

/**
 * Reads a file of jobs:
 *
 * ```yaml
 * defaults: {queue: night, memory: 1g}     # of every job
 * definitions:                             # templates within the file; any other name is one of the cluster
 *   bake: {command: [bake, --all], timeout: 2h}
 * jobs:                                    # at most 1,000, each with a name that others depend on
 *   - {name: flour, command: [mill, wheat]}
 *   - {name: bread, definition: bake, env: {HEAT: 220}, depends_on: [flour]}
 * ```
 *
 * Job over definition over defaults; mappings (`env`, `param`, `tag`, `named`) are merged by name. Jobs come in an order in
 * which each stands behind those that it depends on. Throws a CliError that names every mistake.
 */
export function readJobFile(document: TextDocument, env: NodeJS.ProcessEnv): FileJob[] {
  const fields = jobFields(env);
  const top = document.root.object(['defaults', 'definitions', 'jobs'], 'a job file');
  const defaults = readSaid(top?.defaults, fields, [], 'defaults');
  const definitions = new Map<string, Said>();
  for (const [name, value] of top?.definitions?.entries() ?? []) {
    if (!NAME.test(name)) value.complain(`the name of a definition ${NAME_RULE}, got "${name}"`);
    definitions.set(name, readSaid(value, fields, [], 'a definition'));
  }
  const jobs = readJobs(
    top?.jobs ?? document.root,
    fields,
    defaults,
    definitions,
    top !== undefined && top.jobs === undefined,
  );
  document.throwMistakes();
  const sorted = inOrder(jobs);
  document.throwMistakes();
  return sorted;
}

function readJobs(
  list: Value,
  fields: Fields,
  defaults: Said,
  definitions: ReadonlyMap<string, Said>,
  missing: boolean,
): FileJob[] {
  if (missing) return list.complain('a job file must have jobs') ?? [];
  const values = list.list('must be a list of jobs') ?? [];
  if (list.isList && (values.length === 0 || values.length > MAX_FILE_JOBS)) {
    return list.complain(`must have 1 to ${MAX_FILE_JOBS} jobs, got ${values.length}`) ?? [];
  }
  const said = values.map((value) => readSaid(value, fields, ['name', 'depends_on'], 'a job'));
  const places = namesOf(said);
  return values.map((value, place) => {
    const own = said[place] ?? NOTHING_SAID;
    const options = { ...merged(fields, own, defaults, definitions) };
    const name = own.values.get('name')?.text();
    if (name !== undefined) options['name'] = name;
    const command = options['command'] as readonly string[] | undefined;
    delete options['command'];
    if (value.isMap && command === undefined && options['definition'] === undefined) {
      value.complain('a job must have a command, or a definition that has one');
    }
    const dependsOn = readDependencies(own.values.get('depends_on'), places);
    return { value, fields: own.values, options, command: command ?? [], dependsOn };
  });
}

function merged(
  fields: Fields,
  job: Said,
  defaults: Said,
  definitions: ReadonlyMap<string, Said>,
): Record<string, unknown> {
  const named = job.options['definition'] ?? defaults.options['definition'];
  const definition = typeof named === 'string' ? definitions.get(named) : undefined;
  // A template of the file may itself build on a definition of the cluster.
  const layers = [defaults, definition ?? NOTHING_SAID, job];
  const options: Record<string, unknown> = {};
  for (const { options: said } of layers) Object.assign(options, said);
  for (const { attribute, isMapping } of fields.values()) {
    if (isMapping) mergeMapping(options, attribute, layers);
  }
  if (definition !== undefined) {
    delete options['definition'];
    if (definition.options['definition'] !== undefined) options['definition'] = definition.options['definition'];
  }
  const command = layers.findLast((layer) => layer.command !== undefined)?.command;
  if (command !== undefined) options['command'] = command;
  return options;
}

function mergeMapping(options: Record<string, unknown>, attribute: string, layers: readonly Said[]): void {
  const said = layers.flatMap((layer) => (layer.options[attribute] as object | undefined) ?? []);
  if (said.length > 0) options[attribute] = Object.assign({}, ...said);
}

/** Places of jobs by name; a name stands once. */
function namesOf(said: readonly Said[]): Map<string, number> {
  const places = new Map<string, number>();
  for (const [place, { values }] of said.entries()) {
    const value = values.get('name');
    const name = value?.text();
    if (value === undefined || name === undefined) continue;
    if (!NAME.test(name)) value.refuse(NAME_RULE);
    else if (places.has(name)) value.complain(`"${name}" is the name of jobs[${places.get(name)}] already`);
    else places.set(name, place);
  }
  return places;
}

function readDependencies(value: Value | undefined, places: ReadonlyMap<string, number>): FileDependency[] {
  if (value === undefined) return [];
  const items = value.isList ? (value.list() ?? []) : [value];
  return items.flatMap((item) => readDependency(item, places) ?? []);
}

function readDependency(item: Value, places: ReadonlyMap<string, number>): FileDependency | undefined {
  if (!item.isMap) {
    const on = inFile(item, places);
    return on && { on, type: undefined };
  }
  const { name, job, type } = item.object(['name', 'job', 'type'], 'a dependency') ?? {};
  if ((name === undefined) === (job === undefined)) {
    return item.complain(
      'must have either name (of a job of this file) or job (a number or id of one submitted before)',
    );
  }
  const submitted = job?.text();
  const on = submitted === undefined ? name && inFile(name, places) : ({ kind: 'submitted', job: submitted } as const);
  return on && { on, type: type?.choice(DEPENDENCY_TYPES) };
}

function inFile(value: Value, places: ReadonlyMap<string, number>): FileDependency['on'] | undefined {
  const name = value.text();
  if (name === undefined) return undefined;
  const place = places.get(name);
  return place === undefined ? value.refuse('must be the name of a job of this file') : { kind: 'inFile', place };
}
