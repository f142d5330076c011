import { Command, InvalidArgumentError, type Option } from 'commander';
import type { Value } from '../document/document.ts';
import { addJobOptions, addTaskOptions } from '../job-options.ts';
import { collectExitRules, collectList } from '../parse.ts';

/** What a job of a file may say, beside its name, command and dependencies: the options of `galley submit`, so named. */
export type Fields = ReadonlyMap<string, Field>;

export interface Field {
  /** As `JobOptions` names it. */
  readonly attribute: string;
  /** Values of defaults, definition and job are merged by name instead of replaced. */
  readonly isMapping: boolean;
  /** Undefined when the value is not right; the mistake is noted. */
  read(value: Value): unknown;
}

/** Options that a file says in another way. */
const SAID_OTHERWISE = new Set(['name', 'depends_on']);

/** `stop_grace` for `--stop-grace`, and so on: whatever `galley submit` takes, a job of a file takes. */
export function jobFields(env: NodeJS.ProcessEnv): Fields {
  return fieldsOf(addJobOptions(new Command(), env));
}

/** The same of `galley definition register`. */
export function taskFields(env: NodeJS.ProcessEnv): Fields {
  return fieldsOf(addTaskOptions(new Command(), env));
}

function fieldsOf({ options }: Command): Fields {
  const named = options.map((option) => [option.name().replaceAll('-', '_'), option] as const);
  return new Map(
    named.flatMap(([name, option]) => (SAID_OTHERWISE.has(name) ? [] : [[name, fieldOf(option)] as const])),
  );
}

/** What is said of a job or a definition. */
export interface Said {
  readonly values: ReadonlyMap<string, Value>;
  readonly options: Readonly<Record<string, unknown>>;
  readonly command: readonly string[] | undefined;
}

export const NOTHING_SAID: Said = { values: new Map(), options: {}, command: undefined };

/** Reads a mapping of fields, a command, and the keys of `more`, which it leaves to the caller. */
export function readSaid(value: Value | undefined, fields: Fields, more: readonly string[], what: string): Said {
  if (value === undefined) return NOTHING_SAID;
  const known = [...more, 'command', ...fields.keys()];
  const values = new Map<string, Value>();
  for (const [key, item] of Object.entries(value.object(known, what) ?? {})) {
    if (item !== undefined) values.set(key, item);
  }
  const options: Record<string, unknown> = {};
  for (const [key, item] of values) {
    const field = fields.get(key);
    const read = field?.read(item);
    if (field !== undefined && read !== undefined) options[field.attribute] = read;
  }
  const command = values.get('command');
  return { values, options, command: command && readCommand(command) };
}

/** A list is a program and its arguments; a text is for the shell. */
function readCommand(value: Value): readonly string[] {
  if (value.isList) {
    const words = value.texts() ?? [];
    return words.length > 0 ? words : (value.refuse('must have at least one element') ?? []);
  }
  const text = value.text('must be a list of texts, or one text for the shell');
  return text === undefined ? [] : ['/bin/sh', '-c', text];
}

function fieldOf(option: Option): Field {
  const isMapping = /<\w+=\w+>/.test(option.flags);
  return { attribute: option.attributeName(), isMapping, read: (value) => readOption(option, isMapping, value) };
}

function readOption(option: Option, isMapping: boolean, value: Value): unknown {
  if (option.isBoolean()) return value.flag();
  if (isMapping) return fold(option, value, value.isList ? listed(value) : mapped(value));
  if (option.parseArg === collectExitRules) return fold(option, value, rules(value));
  if (option.parseArg === collectList) return fold(option, value, value.isList ? listed(value) : one(value));
  const text = value.text();
  if (text === undefined) return undefined;
  const { argChoices } = option;
  if (argChoices !== undefined && !argChoices.includes(text))
    return value.refuse(`must be one of ${argChoices.join(', ')}`);
  return parse(option, value, text, undefined);
}

type Written = readonly (readonly [Value, string])[];

function one(value: Value): Written {
  const text = value.text();
  return text === undefined ? [] : [[value, text]];
}

function listed(value: Value): Written {
  return (value.list() ?? []).flatMap(one);
}

/** As on the command line (`action=exit,onExitCode=2`), or a mapping with `on_exit_code`. */
function rules(value: Value): Written {
  return (value.list('must be a list of rules') ?? []).flatMap((item): Written => {
    if (!item.isMap) return one(item);
    const said = item.object(['action', 'on_exit_code', 'on_reason', 'on_status_reason'], 'a rule') ?? {};
    const names = {
      action: 'action',
      on_exit_code: 'onExitCode',
      on_reason: 'onReason',
      on_status_reason: 'onStatusReason',
    };
    const parts = Object.entries(names).flatMap(([key, name]) => {
      const text = said[key as keyof typeof said]?.text();
      return text === undefined ? [] : [`${name}=${text}`];
    });
    return [[item, parts.join(',')]];
  });
}

function mapped(value: Value): Written {
  return (value.entries('must be a mapping of names to values') ?? []).flatMap(([name, item]) => {
    if (name === '' || name.includes('='))
      return item.complain(`a name must not be empty or have a "=", got "${name}"`) ?? [];
    const text = item.text();
    return text === undefined ? [] : [[item, `${name}=${text}`] as const];
  });
}

function fold(option: Option, value: Value, written: Written): unknown {
  let all: unknown;
  for (const [item, text] of written) all = parse(option, item, text, all) ?? all;
  return all ?? (value.isEmpty ? undefined : {});
}

function parse(option: Option, value: Value, text: string, before: unknown): unknown {
  if (option.parseArg === undefined) return text;
  try {
    return option.parseArg(text, before);
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error;
    return value.refuse(error.message.replace(/\.$/, ''));
  }
}
