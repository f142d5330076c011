import { describe, expect, it } from 'vitest';
import { judgeContainer } from './outcome.ts';

const state = {
  Status: 'exited',
  Running: false,
  Pid: 0,
  ExitCode: 137,
  OOMKilled: false,
  Error: '',
  StartedAt: '2000-01-01T00:00:00.5Z',
  FinishedAt: '2000-01-01T00:00:02Z',
};
const evidence = { state, counters: {}, imageDigest: 'sha256:1', earlierBoot: false, memoryBytes: 1000 };

describe('the end of a container', () => {
  it('is out of memory by the word of the engine, of the kernel, or by a kill at the limit', () => {
    for (const more of [
      { state: { ...state, OOMKilled: true } },
      { counters: { oomKills: 1 } },
      { counters: { peakMemoryBytes: 990 } },
    ]) {
      expect(judgeContainer({ ...evidence, ...more }).cause).toBe('out_of_memory');
    }
    expect(judgeContainer({ ...evidence, counters: { peakMemoryBytes: 500 } }).cause).toBe('exited');
    const ordinary = { ...evidence, state: { ...state, ExitCode: 1 }, counters: { peakMemoryBytes: 1000 } };
    expect(judgeContainer(ordinary)).toMatchObject({ cause: 'exited', exitCode: 1 });
  });

  it('that succeeded all the same is a success', () => {
    const fine = { ...evidence, state: { ...state, ExitCode: 0, OOMKilled: true } };
    expect(judgeContainer(fine)).toMatchObject({ cause: 'exited', exitCode: 0, runDurationMs: 1500 });
  });

  it('that a stop asked for keeps the reason of the stop', () => {
    const stop = { cause: 'stopped', reason: 'enough', killAtUptimeMs: 0 } as const;
    expect(judgeContainer({ ...evidence, stop })).toMatchObject({ cause: 'stopped', reason: 'enough', exitCode: 137 });
  });

  it('of an earlier boot counts only if it was before this one', () => {
    expect(judgeContainer({ ...evidence, earlierBoot: true }).cause).toBe('exited');
    const now = { ...state, FinishedAt: new Date().toISOString() };
    const restarted = judgeContainer({ ...evidence, state: now, earlierBoot: true });
    expect(restarted.cause).toBe('host_restarted');
    expect(restarted.exitCode).toBeUndefined();
  });
});
