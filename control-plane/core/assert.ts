/** A broken promise of the program's own: stop, never an answer to a user. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError';
}

export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** Makes a switch exhaustive: a case that is missing does not compile. */
export function assertNever(value: never): never {
  throw new AssertionError(`unexpected value ${JSON.stringify(value)}`);
}

/** The value, which the program knows to be there. */
export function known<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new AssertionError(`${what} is missing`);
  return value;
}

/** The most entries that any Map or Set of the core may hold: larger ones stall when they grow. */
export const MAX_MAP_ENTRIES = 100_000;
