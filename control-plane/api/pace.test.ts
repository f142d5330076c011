import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Pace, SLICE_MS } from './pace.ts';

/** Every item takes a millisecond. */
function paceOfWork() {
  let nowMs = 0;
  const seen: string[] = [];
  const pace = new Pace(() => nowMs);
  const visit = (item: string) => {
    nowMs++;
    seen.push(item);
  };
  return { pace, seen, visit };
}

const items = (name: string, count: number) => Array.from({ length: count }, (_, at) => `${name}${at}`);

describe('the pace of large calls', () => {
  it('lets the event loop go on between slices', async () => {
    const { pace, seen, visit } = paceOfWork();
    const taken = pace.take(items('a', 3 * SLICE_MS), visit);
    const atTurns: number[] = [];
    while (seen.length < 3 * SLICE_MS) {
      await setImmediate();
      atTurns.push(seen.length);
    }
    await taken;
    for (const [turn, count] of atTurns.entries()) {
      expect(count - (atTurns[turn - 1] ?? 0)).toBeLessThanOrEqual(SLICE_MS);
    }
  });

  it('takes one call after another, each in its order', async () => {
    const { pace, seen, visit } = paceOfWork();
    const [first, second] = [items('a', 2 * SLICE_MS + 1), items('b', SLICE_MS)];
    await Promise.all([pace.take(first, visit), pace.take(second, visit)]);
    expect(seen).toEqual([...first, ...second]);
  });

  it('goes on with the next call after one that failed', async () => {
    const { pace, seen, visit } = paceOfWork();
    const failed = pace.take(['a'], () => {
      throw new Error('no');
    });
    const next = pace.take(['b'], visit);
    await expect(failed).rejects.toThrow('no');
    await next;
    expect(seen).toEqual(['b']);
  });
});
