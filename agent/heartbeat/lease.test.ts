import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { DeadlineError, withDeadline } from './deadline.ts';
import { Lease } from './lease.ts';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'galley-lease-'));
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

test('it counts from the sending, and a late answer never shortens it', () => {
  const lease = new Lease(directory, 'boot');
  lease.renew(1_000, 500);
  expect(lease.untilUptimeMs).toBe(1_500);
  lease.renew(400, 500);
  expect(lease.untilUptimeMs).toBe(1_500);
});

test('the next agent of the same boot knows it; after a restart of the host it is over', async () => {
  const lease = new Lease(directory, 'boot');
  lease.renew(1_000, 500);
  await lease.persist();
  expect(new Lease(directory, 'boot').untilUptimeMs).toBe(1_500);
  expect(new Lease(directory, 'other').untilUptimeMs).toBe(0);
});

test('what hangs is given up, and its late failure disturbs nobody', async () => {
  const hanging = Promise.withResolvers<void>();
  await expect(withDeadline('statfs', 20, hanging.promise)).rejects.toThrow(DeadlineError);
  hanging.reject(new Error('too late'));
  await expect(withDeadline('quick', 1_000, Promise.resolve(7))).resolves.toBe(7);
});
