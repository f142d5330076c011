import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AttemptPhase, EndCause } from '@galley/proto';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type AgentOptions, type RunningAgent, runAgent } from './main.ts';
import { ScriptedControlPlane } from './session/testing/control-plane.ts';
import { keyOf, placementOf, shellPlacement } from './session/testing/placements.ts';

let directory: string;
let plane: ScriptedControlPlane;
let agents: RunningAgent[];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'galley-agent-'));
  plane = await ScriptedControlPlane.start();
  agents = [];
});

afterEach(async () => {
  for (const agent of agents) await agent.close();
  plane.stop();
  await rm(directory, { recursive: true, force: true });
});

async function start(options: Partial<AgentOptions> = {}): Promise<RunningAgent> {
  const agent = await runAgent({
    dataDir: directory,
    address: plane.address,
    token: 'secret',
    nodeName: 'node-1',
    allowUnlimited: true,
    reserve: { percent: 0, memoryBytes: 0 },
    log: pino({ level: process.env['GALLEY_LOG_LEVEL'] ?? 'silent' }),
    ...options,
  });
  agents.push(agent);
  return agent;
}

test('a job runs, its end and its log arrive', async () => {
  await start();
  await plane.until('the agent is connected', () => plane.connected);
  const job = shellPlacement('echo hello; exit 3');
  const plain = placementOf(['true']);
  plane.place(job, plain);
  const report = await plane.untilPhase(keyOf(job), AttemptPhase.ENDED);
  expect(report.cause).toBe(EndCause.EXITED);
  expect(report.exitCode).toBe(3);
  expect(report.reason).toBe('Essential container in task exited');
  expect(report.logLengths).toEqual([6n]);
  expect(report.resourcesReleased).toBe(true);
  expect((await plane.untilPhase(keyOf(plain), AttemptPhase.ENDED)).exitCode).toBe(0);
  await plane.until('the log arrived', () => plane.log(keyOf(job)).length === 6);
  expect(plane.log(keyOf(job)).bytes.toString()).toBe('hello\n');
});
