import fc from 'fast-check';
import { expect, test } from 'vitest';
import { GalleyError } from './errors.ts';
import { backoffMs, withRetries } from './retry.ts';

const POLICY = { attempts: 4, initialBackoffMs: 1, maxBackoffMs: 2 };

async function triesOf(error: GalleyError, repeatability: 'safe' | 'once') {
  let tries = 0;
  const failure: unknown = await withRetries(
    () => {
      tries += 1;
      return Promise.reject(error);
    },
    POLICY,
    repeatability,
    undefined,
  ).catch((thrown: unknown) => thrown);
  return { tries, code: (failure as GalleyError).code };
}

test('what may be repeated is repeated, within the policy', async () => {
  expect(await triesOf(new GalleyError('UNAVAILABLE', 'Connection dropped'), 'safe')).toEqual({
    tries: 4,
    code: 'UNAVAILABLE',
  });
  expect(await triesOf(new GalleyError('OUTCOME_UNKNOWN', 'ask again'), 'safe')).toMatchObject({ tries: 4 });
  expect(await triesOf(new GalleyError('NOT_FOUND', 'no'), 'safe')).toEqual({ tries: 1, code: 'NOT_FOUND' });
});

test('what must happen once is repeated only when it was never sent, and else its outcome is unknown', async () => {
  const dropped = await triesOf(new GalleyError('UNAVAILABLE', 'Connection dropped'), 'once');
  expect(dropped).toEqual({ tries: 1, code: 'OUTCOME_UNKNOWN' });
  const never = await triesOf(new GalleyError('UNAVAILABLE', 'No connection established. Last error: ...'), 'once');
  expect(never).toEqual({ tries: 4, code: 'UNAVAILABLE' });
});

test('a caller that gives up does not wait for the next try', async () => {
  const controller = new AbortController();
  const call = () => {
    controller.abort();
    return Promise.reject(new GalleyError('UNAVAILABLE', 'x'));
  };
  const slow = { attempts: 5, initialBackoffMs: 60_000, maxBackoffMs: 60_000 };
  await expect(withRetries(call, slow, 'safe', controller.signal)).rejects.toMatchObject({ code: 'CANCELLED' });
});

test('waits grow, stay below the cap and are spread', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40 }), fc.double({ min: 0, max: 0.999, noNaN: true }), (attempt, random) => {
      const policy = { attempts: 1, initialBackoffMs: 100, maxBackoffMs: 2_000 };
      const whole = Math.min(2_000, 100 * 2 ** (attempt - 1));
      const wait = backoffMs(policy, attempt, () => random);
      expect(wait).toBeGreaterThanOrEqual(whole / 2);
      expect(wait).toBeLessThanOrEqual(whole);
    }),
  );
});
