import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import { isMessage } from '@bufbuild/protobuf';
import { type Path, pathToString } from '@bufbuild/protobuf/reflect';
import { createValidator, type Violation } from '@bufbuild/protovalidate';
import type { FieldViolation, StatusParts } from '@galley/proto';
import { status } from '@grpc/grpc-js';
import { quickCheckOf } from './quick-check.ts';

/** The patterns of the contract, compiled once. They are ours and of linear time, so JavaScript's own engine may run them. */
const patterns = new Map<string, RegExp>();

const validator = createValidator({
  regexMatch(pattern, value) {
    let compiled = patterns.get(pattern);
    if (compiled === undefined) patterns.set(pattern, (compiled = new RegExp(pattern, 'u')));
    return compiled.test(value);
  },
});

/** Violations that one answer names. */
const MAX_VIOLATIONS = 20;

/** Characters of a received value that an answer repeats. */
const MAX_VALUE_CHARS = 80;

/** The refusal of a message that breaks the rules in its .proto; undefined when it does not. */
export function invalidRequest(schema: DescMessage, message: MessageShape<DescMessage>): StatusParts | undefined {
  if (quickCheckOf(schema)(message)) return undefined;
  const violations = violationsOf(schema, message);
  const [first] = violations;
  if (first === undefined) return undefined;
  const more = violations.length > 1 ? ` (and ${violations.length - 1} more)` : '';
  return { code: status.INVALID_ARGUMENT, message: `${first.field}: ${first.description}${more}`, violations };
}

/** What is wrong with a message by the rules in its .proto: paths in the names of the contract. Empty: nothing. */
export function violationsOf<D extends DescMessage>(schema: D, message: MessageShape<D>): FieldViolation[] {
  const result = validator.validate(schema, message);
  switch (result.kind) {
    case 'valid':
      return [];
    case 'invalid':
      return result.violations.slice(0, MAX_VIOLATIONS).map((violation) => describe(message, violation));
    case 'error':
      // A rule that cannot be evaluated is a mistake in the contract, not the caller's.
      throw result.error;
  }
}

function describe(message: unknown, { field, message: constraint, forKey }: Violation): FieldViolation {
  const last = field.at(-1);
  const value = forKey && last?.kind === 'map_sub' ? last.key : valueAt(message, field);
  return { field: pathToString(field), description: `${constraint}, got ${show(value)}` };
}

/** The value at a path of fields, list items and map entries. */
function valueAt(root: unknown, path: Path): unknown {
  let value = root;
  for (const step of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    switch (step.kind) {
      case 'field':
        value = fieldOf(value, step.localName, step.oneof?.localName);
        break;
      case 'oneof':
        value = Reflect.get(value, step.localName);
        break;
      case 'list_sub':
        value = Reflect.get(value, step.index);
        break;
      case 'map_sub':
        value = Reflect.get(value, String(step.key));
        break;
      case 'extension':
        return undefined;
    }
  }
  return value;
}

function fieldOf(message: object, name: string, oneof: string | undefined): unknown {
  const holder: unknown = oneof === undefined ? undefined : Reflect.get(message, oneof);
  // A member of a oneof stands in its group; a plain optional field stands in the message itself.
  if (typeof holder !== 'object' || holder === null || !('case' in holder)) return Reflect.get(message, name);
  return holder.case === name ? Reflect.get(holder, 'value') : undefined;
}

function show(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'string') return shorten(JSON.stringify(value));
  if (value instanceof Uint8Array) return `${value.byteLength} bytes`;
  if (Array.isArray(value)) return `${value.length} items`;
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') return `${value}`;
  if (typeof value !== 'object' || value === null) return typeof value;
  return isMessage(value) ? 'a message' : `${Object.keys(value).length} entries`;
}

function shorten(text: string): string {
  return text.length <= MAX_VALUE_CHARS ? text : `${text.slice(0, MAX_VALUE_CHARS)}… (${text.length} characters)`;
}
