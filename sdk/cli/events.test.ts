import { EventEmitter } from 'node:events';
import { EventService, JobState, NodeState } from '@galley/proto';
import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type CliOptions, cli } from '../testing/cli.ts';
import { type FakeControlPlane, Refusal, startFakeControlPlane } from '../testing/fake-control-plane.ts';

let fake: FakeControlPlane;
beforeEach(async () => {
  fake = await startFakeControlPlane();
});
afterEach(() => fake.stop());

const galley = (words: readonly string[], options: CliOptions = {}) =>
  cli(words, { env: { GALLEY_ADDRESS: fake.address, GALLEY_TOKEN: 't' }, ...options });

function withEvents(asked: unknown[] = []) {
  const job = { number: 7n, jobName: 'make', jobQueue: 'night' };
  const told = [
    { case: 'node', value: { node: 'n1', state: NodeState.LOST, reason: 'no word\u001b[2J' } },
    { case: 'job', value: { job: { ...job, state: JobState.RUNNING, node: 'n1' } } },
    { case: 'job', value: { job: { ...job, state: JobState.FAILED, exitCode: 3 } } },
  ] as const;
  fake.on(EventService, {
    async *subscribeEvents({ after, jobQueue }, { signal }) {
      asked.push([after, jobQueue]);
      yield { position: { epoch: 1n, sequence: 8n } };
      yield { position: { epoch: 1n, sequence: 9n }, events: told.map((event) => ({ atMs: 1n, event })) };
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
    },
  });
}

/** Presses Ctrl-C when the last event is on the screen. */
function interruptAfter(text: string): CliOptions {
  const signals = new EventEmitter();
  return { signals, onOutput: (seen) => seen.includes(text) && setImmediate(() => signals.emit('SIGINT')) };
}

it('prints what happens until Ctrl-C, and how to go on', async () => {
  const asked: unknown[] = [];
  withEvents(asked);
  const { code, stdout, stderr } = await galley(['events', '-q', 'night', '--after', '1.5'], interruptAfter('exit 3'));
  expect(code).toBe(130);
  expect(stdout.replaceAll(/^\S+ \S+ {2}/gm, '')).toBe(
    'Node n1 LOST: no word [2J\nJob 7 (make) RUNNING on n1\nJob 7 (make) failed: exit 3\n',
  );
  expect(stderr).toContain('galley events --after 1.9');
  expect(asked).toMatchObject([[{ epoch: 1n, sequence: 5n }, 'night']]);
});

it('prints a line of JSON per event', async () => {
  withEvents();
  const { stdout } = await galley(['events', '--json'], interruptAfter('FAILED'));
  const events = stdout
    .trim()
    .split('\n')
    .map((line): unknown => JSON.parse(line));
  expect(events).toHaveLength(3);
  expect(events[1]).toMatchObject({
    position: { epoch: 1, sequence: 9 },
    job: { job: { number: 7, state: 'RUNNING' } },
  });
});

it('says how to begin anew when the position is too old', async () => {
  fake.on(EventService, {
    // biome-ignore lint/correctness/useYield: it refuses before it has anything to say
    async *subscribeEvents() {
      throw new Refusal({ code: status.OUT_OF_RANGE, message: 'not remembered; list again', reason: 'CURSOR_EXPIRED' });
    },
  });
  const { code, stderr } = await galley(['events', '--after', '1.5']);
  expect(code).toBe(125);
  expect(stderr).toContain('not remembered; list again');
  expect(stderr).toContain('galley events');
  expect((await galley(['events', '--after', 'x'])).stderr).toMatch(/looks like 1\.2345/);
});
