import { expect, it } from 'vitest';
import { newAttempt } from './admission.ts';
import { Attempts, MAX_CACHED_ATTEMPTS, MAX_FOLLOWERS } from './attempts.ts';

it('remembers a bounded number of running attempts, the last used ones, and none that is over', () => {
  const attempts = new Attempts();
  attempts.moved('first', newAttempt());
  attempts.moved('second', newAttempt());
  for (let index = 0; index < MAX_CACHED_ATTEMPTS - 1; index++) {
    expect(attempts.find('first')).toBeDefined();
    attempts.moved(`more-${index}`, newAttempt());
  }
  expect(attempts.cached).toBe(MAX_CACHED_ATTEMPTS);
  expect(attempts.find('second')).toBeUndefined();
  expect(attempts.find('first')).toBeDefined();
  attempts.moved('first', { known: [5, 0, 0], finals: [6, 0, 0] });
  expect(attempts.find('first')).toBeDefined();
  attempts.moved('first', { known: [6, 0, 0], finals: [6, 0, 0] });
  expect(attempts.find('first')).toBeUndefined();
});

it('wakes a watcher for what happened before it listened, and by its signal', async () => {
  const attempts = new Attempts();
  const abort = new AbortController();
  const watch = attempts.watch('one', abort.signal);
  attempts.moved('one', newAttempt());
  await watch.changed();
  let woken = false;
  const next = watch.changed().then(() => {
    woken = true;
  });
  attempts.moved('other', newAttempt());
  await Promise.resolve();
  expect(woken).toBe(false);
  abort.abort();
  await next;
  watch.close();
  expect(attempts.followers).toBe(0);
});

it('refuses followers beyond the bound', () => {
  const attempts = new Attempts();
  const watches = Array.from({ length: MAX_FOLLOWERS }, () => attempts.watch('one', undefined));
  expect(() => attempts.watch('one', undefined)).toThrow(expect.objectContaining({ code: 'TOO_MANY_FOLLOWERS' }));
  watches[0]?.close();
  attempts.watch('one', undefined).close();
});
