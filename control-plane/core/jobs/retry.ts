import { type AttemptOutcome, EndCause, type RetryPolicy, type RetryRule } from '../types.ts';

/** What retry rules look at. */
export interface RetryFacts {
  readonly statusReason: string;
  readonly reason: string;
  readonly exitCode: string;
}

/**
 * Whether a failed attempt is tried again (AWS Batch, `evaluateOnExit`): the first rule whose given patterns all match
 * decides; when none matches, the attempt is retried. Always capped by `attempts`, and never after a stop that somebody
 * asked for, a time-out or a deadline.
 */
export function shouldRetry(policy: RetryPolicy, attempt: number, cause: EndCause, facts: RetryFacts): boolean {
  if (NEVER_RETRIED.has(cause) || attempt >= policy.attempts) return false;
  const rule = policy.rules.find((candidate) => ruleMatches(candidate, facts));
  return rule === undefined || rule.action === 'retry';
}

const NEVER_RETRIED: ReadonlySet<EndCause> = new Set([
  EndCause.stopped,
  EndCause.timedOut,
  EndCause.deadline,
  EndCause.dependencyFailed,
  EndCause.queueDeleted,
]);

/** A rule with no pattern matches everything. An absent value is an empty text, which `*` matches. */
export function ruleMatches(rule: RetryRule, facts: RetryFacts): boolean {
  return (
    patternMatches(rule.onStatusReason, facts.statusReason) &&
    patternMatches(rule.onReason, facts.reason) &&
    patternMatches(rule.onExitCode, facts.exitCode)
  );
}

/** Only a trailing `*` is special: it matches any rest. An empty pattern was not given and matches. */
export function patternMatches(pattern: string, value: string): boolean {
  if (pattern === '') return true;
  return pattern.endsWith('*') ? value.startsWith(pattern.slice(0, -1)) : value === pattern;
}

/** The exit code that rules and AWS's answers see: a signal counts as 128 and its number, as a shell says it. */
export function visibleExitCode(outcome: Pick<AttemptOutcome, 'exitCode' | 'signal'>): number | undefined {
  return outcome.exitCode ?? (outcome.signal === undefined ? undefined : 128 + outcome.signal);
}

/** Whether a policy names the loss of the host: what makes `fenced` the default of `onNodeLost`. */
export function namesHostLoss(policy: RetryPolicy): boolean {
  return policy.rules.some((rule) => rule.action === 'retry' && rule.onStatusReason.startsWith('Host EC2'));
}
