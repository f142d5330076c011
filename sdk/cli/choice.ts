import { InvalidArgumentError, Option } from 'commander';

/**
 * An option that takes one of a few words, each standing for a value. Commander's own `choices` are forgotten as soon as
 * an option has a parser of its own, and any word passes.
 */
export function choice<T>(flags: string, description: string, values: Readonly<Record<string, T>>): Option {
  const words = Object.keys(values);
  return new Option(flags, description).choices(words).argParser((text: string): T => {
    const value = Object.hasOwn(values, text) ? values[text] : undefined;
    if (value === undefined) throw new InvalidArgumentError(`Allowed choices are ${words.join(', ')}.`);
    return value;
  });
}
