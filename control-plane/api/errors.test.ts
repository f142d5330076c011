import { fromStatus } from '@galley/proto';
import { status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import type { Refusal } from '../core/types.ts';
import { LogStoreError } from '../logs/log-store.ts';
import { StoreError } from '../store/store.ts';
import { TurnError } from '../turn/turns.ts';
import { accepted, invalid, itemStatus, notBuilt, refused, statusParts } from './errors.ts';

const REFUSALS: [Refusal['code'], status, string | undefined][] = [
  ['invalid', status.INVALID_ARGUMENT, undefined],
  ['notFound', status.NOT_FOUND, undefined],
  ['alreadyExists', status.ALREADY_EXISTS, undefined],
  ['failedPrecondition', status.FAILED_PRECONDITION, undefined],
  ['aborted', status.ABORTED, 'VERSION_MISMATCH'],
  ['exhausted', status.RESOURCE_EXHAUSTED, 'OVERLOADED'],
  ['staleFacts', status.UNAVAILABLE, 'STALE_FACTS'],
];

describe('an error on its way out', () => {
  it.each(REFUSALS)('%s of the core keeps its field and sentence', (code, expected, reason) => {
    const parts = statusParts(refused({ ok: false, code, field: 'job_queue', message: 'queue x does not exist' }));
    expect(parts.code).toBe(expected);
    expect(parts.message).toContain('queue x does not exist');
    expect(parts.reason).toBe(reason);
    expect(parts.violations?.[0]?.field).toBe(code === 'staleFacts' ? undefined : 'job_queue');
  });

  it('says what to do after a turn that failed', () => {
    expect(statusParts(new TurnError('OUTCOME_UNKNOWN', 'commit failed'))).toEqual({
      code: status.UNAVAILABLE,
      message: 'outcome unknown, ask again with the same id',
      reason: 'OUTCOME_UNKNOWN',
    });
    expect(statusParts(new TurnError('OVERLOADED', '20000 inputs wait'))).toMatchObject({
      code: status.RESOURCE_EXHAUSTED,
      reason: 'OVERLOADED',
    });
    expect(statusParts(new TurnError('UNAVAILABLE', 'reopening')).code).toBe(status.UNAVAILABLE);
    expect(statusParts(new TurnError('CLOSED', 'closed')).code).toBe(status.UNAVAILABLE);
  });

  it('tells a damaged record from a store that is away', () => {
    expect(statusParts(new StoreError('CORRUPT', '/secret/path')).code).toBe(status.DATA_LOSS);
    expect(statusParts(new StoreError('DEAD', 'closed')).code).toBe(status.UNAVAILABLE);
    expect(statusParts(new LogStoreError('TOO_MANY_FOLLOWERS', '1000 follow')).code).toBe(status.RESOURCE_EXHAUSTED);
  });

  it('hides what it does not know, and paths of the store', () => {
    expect(statusParts(new Error('/secret/path'))).toMatchObject({ code: status.INTERNAL });
    expect(statusParts(new Error('/secret/path')).message).not.toContain('secret');
    expect(statusParts(new StoreError('CORRUPT', '/secret/path')).message).not.toContain('secret');
    expect(statusParts('thrown text').code).toBe(status.INTERNAL);
  });

  it('carries violations and reason inside a batch', () => {
    const parts = fromStatus(itemStatus(invalid('task.command', 'at least one element, got none')));
    expect(parts.violations).toEqual([{ field: 'task.command', description: 'at least one element, got none' }]);
    expect(fromStatus(itemStatus(notBuilt('array'))).reason).toBe('NOT_BUILT');
  });

  it('passes on what was accepted and throws what was refused', () => {
    expect(accepted({ ok: true, revision: 3 })).toEqual({ ok: true, revision: 3 });
    expect(() => accepted({ ok: false, code: 'notFound', field: 'name', message: 'no such' })).toThrow('no such');
  });
});
