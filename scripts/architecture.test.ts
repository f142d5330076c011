import { expect, test } from 'vitest';
import { checkFile, type Workspace } from './architecture.ts';

const WORKSPACES: readonly Workspace[] = [
  { name: '@galley/proto', folder: 'proto', dependencies: new Set(['@bufbuild/protobuf']) },
  { name: '@galley/control-plane', folder: 'control-plane', dependencies: new Set(['pino', 'level']) },
  { name: '@galley/agent', folder: 'agent', dependencies: new Set(['systeminformation', 'pino']) },
  { name: '@galley/sdk', folder: 'sdk', dependencies: new Set(['commander']) },
  { name: '@galley/test', folder: 'test', dependencies: new Set([]) },
];

function problems(path: string, statement: string): string[] {
  return checkFile(path, `${statement}\n`, WORKSPACES);
}

test.each([
  ['control-plane/core/turn.ts', "import { x } from './state.ts';"],
  ['control-plane/core/turn.ts', "import { x } from '@galley/proto';"],
  ['control-plane/store/level.ts', "import { ClassicLevel } from 'level';"],
  ['control-plane/store/codec.ts', "import { x } from '../core/job.ts';"],
  ['control-plane/aws/submit.ts', "import { x } from '../api/jobs.ts';"],
  ['control-plane/core/turn.ts', "import type { Change } from '../store/store.ts';"],
  ['control-plane/store/contract.ts', "import { expect } from 'vitest';"],
  ['control-plane/server.ts', "import { x } from './aws/submit.ts';"],
  ['control-plane/core/turn.test.ts', "import { readFileSync } from 'node:fs';"],
  ['sdk/testing/cli.ts', "import { runCli } from '../cli/run-cli.ts';"],
  ['sdk/cli/server.ts', "const s = await import('@galley/control-plane/server.ts');"],
  ['sdk/cli/agent.ts', "const s = await import('../../agent/main.ts');"],
  ['sdk/cli/jobs.ts', "import { Client } from '../client.ts';"],
  ['test/end-to-end/up.test.ts', "import { x } from '@galley/control-plane/core/turn.ts';"],
])('%s may say: %s', (path, statement) => {
  expect(problems(path, statement)).toEqual([]);
});

test.each([
  ['control-plane/core/turn.ts', "import { x } from '../store/store.ts';"],
  ['control-plane/core/turn.ts', "import { x } from '../server.ts';"],
  ['control-plane/core/turn.ts', "import { readFileSync } from 'node:fs';"],
  ['control-plane/core/turn.ts', "import { pino } from 'pino';"],
  ['control-plane/aws/submit.ts', "import { x } from '../core/job.ts';"],
  ['control-plane/api/jobs.ts', "import { x } from '../aws/submit.ts';"],
  ['control-plane/api/jobs.ts', "import { Level } from 'level';"],
  ['control-plane/store/level.ts', "import { x } from '@galley/agent/main.ts';"],
  ['agent/main.ts', "import { x } from '@galley/control-plane';"],
  ['agent/main.ts', "import type { X } from '../control-plane/core/job.ts';"],
  ['agent/main.ts', "import { x } from '@galley/sdk';"],
  ['sdk/client.ts', "import { Command } from 'commander';"],
  ['sdk/client.ts', "const s = await import('@galley/control-plane/server.ts');"],
  ['sdk/cli/server.ts', "import { serve } from '@galley/control-plane/server.ts';"],
  ['agent/session.test.ts', "import { x } from '@galley/control-plane/agents/plane.ts';"],
  ['proto/index.ts', "import { x } from '@galley/sdk';"],
  ['agent/main.ts', "import express from 'express';"],
])('%s may not say: %s', (path, statement) => {
  expect(problems(path, statement)).toHaveLength(1);
});

test('a wrong arrow is told with its place and what is allowed instead', () => {
  expect(problems('agent/main.ts', "import { x } from '@galley/sdk';")).toEqual([
    "agent/main.ts:1: agent may import sdk not at all (it may import agent, proto): '@galley/sdk' in main.ts",
  ]);
});
