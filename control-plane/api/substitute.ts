import { invalid } from './errors.ts';

const MARK = 'Ref::';
const REFERENCE = /Ref::([A-Za-z0-9_-]+)/g;

/** Whether a command holds references; nearly none does. */
export function hasReferences(command: readonly string[]): boolean {
  return command.some((element) => element.includes(MARK));
}

/**
 * A command with its `Ref::name` placeholders replaced. An element that is nothing but a placeholder takes the parameter
 * of whatever name follows; within an element a name is letters, digits, `-` and `_`. Values are not looked at again.
 * A placeholder without a parameter refuses the job, in AWS Batch's words.
 */
export function substitute(command: readonly string[], parameters: ReadonlyMap<string, string>): string[] {
  return command.map((element) => {
    if (!element.includes(MARK)) return element;
    const whole = element.startsWith(MARK) ? parameters.get(element.slice(MARK.length)) : undefined;
    if (whole !== undefined) return whole;
    return element.replaceAll(REFERENCE, (_, name: string) => {
      const value = parameters.get(name);
      if (value === undefined) {
        throw invalid('task.command', `Unable to substitute value. No parameter found for reference ${name}`);
      }
      return value;
    });
  });
}

/** The definition's parameters overlaid by the request's. */
export function overlayParameters(
  definition: Readonly<Record<string, string>>,
  request: Readonly<Record<string, string>>,
): Map<string, string> {
  return new Map([...Object.entries(definition), ...Object.entries(request)]);
}
