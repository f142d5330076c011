import type { DescEnum, DescField, DescMessage, Message, MessageShape } from '@bufbuild/protobuf';

// The one place where messages become what users of the SDK see: plain objects, numbers for int64, names for enums.

type Optional<M, K extends keyof M> = undefined extends M[K]
  ? true
  : K extends `${string}AtMs`
    ? true
    : K extends 'state'
      ? false
      : IsEnum<M[K]>;

type IsEnum<T> = T extends number ? (number extends T ? false : true) : false;

type Fields<M> = Exclude<keyof M, '$typeName' | '$unknown'>;

/**
 * The plain form of a message. int64 is a number; an enum is its name (`RUNNING`), absent where unspecified; a time
 * (`...AtMs`) is absent where the thing has not happened; a field that is not set is absent, never undefined.
 */
export type Plain<T> = T extends bigint
  ? number
  : T extends Uint8Array
    ? Uint8Array
    : T extends number
      ? number extends T
        ? number
        : string
      : T extends string | boolean | undefined
        ? T
        : T extends readonly (infer E)[]
          ? Plain<E>[]
          : T extends Message
            ? PlainMessage<T>
            : { [K in keyof T]: Plain<T[K]> };

type PlainMessage<M> = {
  [K in Fields<M> as true extends Optional<M, K> ? never : K]: Plain<M[K]>;
} & {
  [K in Fields<M> as true extends Optional<M, K> ? K : never]?: Plain<Exclude<M[K], undefined>>;
};

/** Throws a RangeError for an int64 beyond 2^53: nothing in Galley is that large. */
export function toPlain<D extends DescMessage>(schema: D, message: MessageShape<D>): Plain<MessageShape<D>> {
  return plainMessage(schema, message) as Plain<MessageShape<D>>;
}

function plainMessage(schema: DescMessage, message: Message): Record<string, unknown> {
  const plain: Record<string, unknown> = {};
  for (const field of schema.fields) {
    const value = fieldValue(field, message);
    if (value === undefined || isAbsent(field, value)) continue;
    plain[field.localName] = plainField(field, value);
  }
  return plain;
}

function fieldValue(field: DescField, message: Message): unknown {
  const values = message as unknown as Record<string, unknown>;
  if (field.oneof === undefined) return values[field.localName];
  const chosen = values[field.oneof.localName] as { case?: string; value?: unknown };
  return chosen.case === field.localName ? chosen.value : undefined;
}

function isAbsent(field: DescField, value: unknown): boolean {
  if (field.fieldKind === 'enum') return value === 0;
  return field.localName.endsWith('AtMs') && value === 0n;
}

function plainField(field: DescField, value: unknown): unknown {
  switch (field.fieldKind) {
    case 'scalar':
      return plainScalar(value);
    case 'enum':
      return enumName(field.enum, value as number);
    case 'message':
      return plainMessage(field.message, value as Message);
    case 'list':
      return (value as unknown[]).map((item) => plainItem(field, item));
    case 'map':
      return Object.fromEntries(
        Object.entries(value as Record<string, unknown>).map(([key, item]) => [key, plainItem(field, item)]),
      );
  }
}

function plainItem(field: DescField & { fieldKind: 'list' | 'map' }, item: unknown): unknown {
  if (field.message !== undefined) return plainMessage(field.message, item as Message);
  if (field.enum !== undefined) return enumName(field.enum, item as number);
  return plainScalar(item);
}

function plainScalar(value: unknown): unknown {
  if (typeof value !== 'bigint') return value;
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw new RangeError(`${value} is beyond what a number holds exactly`);
  return number;
}

/** `RUNNING` for JobState 5; a value of a later version is `UNKNOWN_17`. */
export function enumName(schema: DescEnum, value: number): string {
  return schema.value[value]?.localName ?? `UNKNOWN_${value}`;
}
