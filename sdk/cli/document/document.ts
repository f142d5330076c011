import { readFileSync } from 'node:fs';
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  type Document as YamlDocument,
} from 'yaml';
import { CliError } from '../exit.ts';

/** A file of jobs or resources has at most so many bytes. */
export const MAX_DOCUMENT_BYTES = 4 * 1024 * 1024;
/** Mistakes that are shown of one file. */
const MAX_SHOWN = 20;
/** Characters of a value that a message repeats. */
const MAX_VALUE_LENGTH = 60;

/** One mistake: `line` and `column` count from 1. */
export interface Mistake {
  readonly line: number;
  readonly column: number;
  readonly field: string;
  readonly message: string;
}

/** A YAML or JSON file that people write. Mistakes are gathered, so that all of them can be shown at once. */
export class TextDocument {
  readonly file: string;
  readonly #lines = new LineCounter();
  readonly #yaml: YamlDocument.Parsed;
  readonly #mistakes: Mistake[] = [];

  /** Throws a CliError when the text is not YAML. */
  constructor(file: string, text: string) {
    this.file = file;
    this.#yaml = parseDocument(text, {
      lineCounter: this.#lines,
      prettyErrors: false,
      stringKeys: true,
      version: '1.2',
    });
    for (const { pos, message } of [...this.#yaml.errors, ...this.#yaml.warnings]) this.add(pos[0], '', message);
    this.throwMistakes();
  }

  /** The whole content. */
  get root(): Value {
    return new Value(this, this.#yaml.contents ?? undefined, '', 0);
  }

  /** What an alias stands for; anything else is itself. */
  resolve(node: Node | undefined): Node | undefined {
    return isAlias(node) ? node.resolve(this.#yaml) : node;
  }

  add(offset: number, field: string, message: string): void {
    const { line, col } = this.#lines.linePos(offset);
    this.#mistakes.push({ line, column: col, field, message });
  }

  /** Throws a CliError that names every mistake with its place, if there was one. */
  throwMistakes(): void {
    if (this.#mistakes.length === 0) return;
    const sorted = this.#mistakes.toSorted((a, b) => a.line - b.line || a.column - b.column);
    const lines = sorted.slice(0, MAX_SHOWN).map(({ line, column, field, message }) => {
      return `  ${this.file}:${line}:${column}: ${field === '' ? '' : `${field}: `}${message}`;
    });
    const more = sorted.length > MAX_SHOWN ? [`  and ${sorted.length - MAX_SHOWN} more`] : [];
    throw new CliError([`${this.file} has mistakes; nothing was done`, ...lines, ...more].join('\n'));
  }
}

/** Reads a file, `-` being the standard input. Throws a CliError. */
export function readTextDocument(file: string): TextDocument {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file === '-' ? 0 : file);
  } catch (error) {
    throw new CliError(`${file} cannot be read: ${(error as Error).message}`);
  }
  if (bytes.byteLength > MAX_DOCUMENT_BYTES) {
    throw new CliError(`${file} must have at most ${MAX_DOCUMENT_BYTES} bytes, it has ${bytes.byteLength}`);
  }
  return new TextDocument(file === '-' ? 'stdin' : file, bytes.toString('utf8'));
}

/** A value of a document, with the path that leads to it: `jobs[2].memory`. */
export class Value {
  readonly field: string;
  readonly #document: TextDocument;
  readonly #node: Node | undefined;
  readonly #offset: number;

  constructor(document: TextDocument, node: Node | undefined, field: string, offset: number) {
    this.#document = document;
    this.field = field;
    this.#offset = node?.range?.[0] ?? offset;
    this.#node = document.resolve(node);
  }

  get isMap(): boolean {
    return isMap(this.#node);
  }

  get isList(): boolean {
    return isSeq(this.#node);
  }

  /** Nothing was written, or `null`. */
  get isEmpty(): boolean {
    return this.#node === undefined || (isScalar(this.#node) && this.#node.value === null);
  }

  /** Notes a mistake here: `must ..., got ...`. Returns undefined, for the caller to return. */
  refuse(constraint: string): undefined {
    this.#document.add(this.#offset, this.field, `${constraint}, got ${this.#shown()}`);
  }

  /** Notes a mistake here, in words of its own. */
  complain(message: string): undefined {
    this.#document.add(this.#offset, this.field, message);
  }

  /** A text; numbers and truth values as they are written. */
  text(constraint = 'must be a text'): string | undefined {
    const node = this.#node;
    if (!isScalar(node) || node.value === null) return this.refuse(constraint);
    return typeof node.value === 'string' ? node.value : (node.source ?? '');
  }

  flag(): boolean | undefined {
    const node = this.#node;
    return isScalar(node) && typeof node.value === 'boolean' ? node.value : this.refuse('must be true or false');
  }

  integer(min: number, max: number): number | undefined {
    const node = this.#node;
    const value = isScalar(node) ? node.value : undefined;
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
    return this.refuse(`must be a whole number from ${min} to ${max}`);
  }

  choice<const T extends string>(choices: readonly T[]): T | undefined {
    const text = isScalar(this.#node) ? this.#node.value : undefined;
    return choices.find((each) => each === text) ?? this.refuse(`must be one of ${choices.join(', ')}`);
  }

  list(constraint = 'must be a list'): Value[] | undefined {
    const node = this.#node;
    if (!isSeq(node)) return this.refuse(constraint);
    return node.items.map((item, at) => new Value(this.#document, item as Node, `${this.field}[${at}]`, this.#offset));
  }

  texts(constraint = 'must be a list of texts'): string[] | undefined {
    return this.list(constraint)?.flatMap((item) => item.text() ?? []);
  }

  /** Keys and values, in the order of the file. */
  entries(constraint = 'must be a mapping'): [string, Value][] | undefined {
    const node = this.#node;
    if (!isMap(node)) return this.refuse(constraint);
    return node.items.map(({ key, value }) => {
      const name = isScalar(key) ? String(key.value) : '';
      const field = this.field === '' ? name : `${this.field}.${name}`;
      const offset = isScalar(key) ? (key.range?.[0] ?? this.#offset) : this.#offset;
      return [name, new Value(this.#document, (value as Node | null) ?? undefined, field, offset)];
    });
  }

  pairs(): Record<string, string> | undefined {
    const entries = this.entries('must be a mapping of names to texts');
    return (
      entries &&
      Object.fromEntries(
        entries.flatMap(([name, value]) => {
          const text = value.text();
          return text === undefined ? [] : [[name, text]];
        }),
      )
    );
  }

  /** The values of these keys; every other key is a mistake. */
  object<const K extends string>(known: readonly K[], what: string): Partial<Record<K, Value>> | undefined {
    const entries = this.entries(`must be ${what}: a mapping`);
    if (entries === undefined) return undefined;
    const found: Partial<Record<K, Value>> = {};
    for (const [name, value] of entries) {
      const key = known.find((each) => each === name);
      if (key === undefined) value.complain(`is not known in ${what}; known are ${known.join(', ')}`);
      else found[key] = value;
    }
    return found;
  }

  #shown(): string {
    const node = this.#node;
    if (isSeq(node)) return 'a list';
    if (isMap(node)) return 'a mapping';
    if (!isScalar(node) || node.value === null) return 'nothing';
    const text = typeof node.value === 'string' ? JSON.stringify(node.value) : (node.source ?? '');
    return text.length > MAX_VALUE_LENGTH ? `${text.slice(0, MAX_VALUE_LENGTH)}...` : text;
  }
}
