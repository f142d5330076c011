import { expect, it } from 'vitest';
import { EndCause } from '../types.ts';
import type { EndedAttempt } from '../view.ts';
import { decodeAttempt, encodeAttempt } from './ended-job.ts';

const ATTEMPT: EndedAttempt = {
  attempt: 2,
  node: 'n',
  placedAtMs: 1,
  startedAtMs: 2,
  stoppedAtMs: 3,
  cause: EndCause.exited,
  exitCode: 0,
  signal: undefined,
  statusReason: 's',
  reason: 'r',
  peakMemoryBytes: 4,
  cpuTimeUs: 5,
  logLengths: [6, 7],
  imageDigest: '',
};

it('an attempt keeps the digest of its image', () => {
  const attempt = { ...ATTEMPT, imageDigest: `sha256:${'0'.repeat(64)}` };
  expect(decodeAttempt(encodeAttempt(attempt))).toEqual(attempt);
});
