import type { Requirements, RetryPolicy } from '../types.ts';
import type { RecordReader, RecordWriter } from './codec.ts';

// Pieces that several records share.

export function writeRequirements(out: RecordWriter, value: Requirements): void {
  out.uint(value.milliVcpu).uint(value.memoryBytes).uint(value.named.length);
  for (const { name, count } of value.named) out.text(name).uint(count);
  out.uint(value.features.length);
  for (const feature of value.features) out.text(feature);
}

const NOTHING: readonly never[] = [];

export function readRequirements(input: RecordReader): Requirements {
  const milliVcpu = input.uint();
  const memoryBytes = input.uint();
  const named = list(input, () => ({ name: input.text(), count: input.uint() }));
  const features = list(input, () => input.text());
  return { milliVcpu, memoryBytes, named, features };
}

export function writeRetry(out: RecordWriter, value: RetryPolicy): void {
  out.uint(value.attempts).uint(value.rules.length);
  for (const rule of value.rules) {
    out
      .text(rule.onStatusReason)
      .text(rule.onReason)
      .text(rule.onExitCode)
      .byte(rule.action === 'retry' ? 1 : 2);
  }
}

export function readRetry(input: RecordReader): RetryPolicy {
  const attempts = input.uint();
  const rules = list(input, () => ({
    onStatusReason: input.text(),
    onReason: input.text(),
    onExitCode: input.text(),
    action: input.byte() === 1 ? ('retry' as const) : ('exit' as const),
  }));
  return { attempts, rules };
}

export function list<T>(input: RecordReader, read: () => T): readonly T[] {
  const length = input.uint();
  return length === 0 ? NOTHING : Array.from({ length }, read);
}

/** Equal policies have equal keys. */
export function encodeRetryKey(policy: RetryPolicy): string {
  return policy.rules.length === 0 ? String(policy.attempts) : JSON.stringify(policy);
}
