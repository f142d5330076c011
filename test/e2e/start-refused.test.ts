import { randomUUID } from 'node:crypto';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { smallDisk } from '@galley/control-plane/store/testing.ts';
import { AgentHelloSchema, AgentService, ConnectRequestSchema, serviceClient } from '@galley/proto';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Child, type Finished, runGalley } from '../harness/child.ts';
import { TestCluster } from '../harness/cluster.ts';

// Processes start and are killed here, and the machine may be busy.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 60_000 });

// What cannot be started says why in one sentence, and exits 125.

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.start();
});
afterAll(() => cluster.close());

function galley(...words: string[]): Promise<Finished> {
  return runGalley(words, { env: { ...cluster.place.environment, GALLEY_LOG_LEVEL: 'fatal' } });
}

function expectSentence({ code, stdout, stderr }: Finished, sentence: RegExp): void {
  expect({ code, stdout }).toEqual({ code: 125, stdout: '' });
  // An agent says under which name it serves before it has met its control plane.
  const sentences = stderr.split('\n').filter((line) => line.startsWith('galley: ') && !/ serves /.test(line));
  expect(sentences).toHaveLength(1);
  expect(sentences[0]).toMatch(sentence);
  expect(stderr).not.toMatch(/\n +at /);
}

describe('a control plane', () => {
  it('on a data directory that another one uses', async () => {
    const second = await galley('server', '--data-dir', cluster.data, '--port', '0');
    expectSentence(second, new RegExp(`in use by another control plane \\(process ${cluster.server.pid} on`));
    expect((await cluster.finish({ command: ['true'] })).summary.state).toBe('SUCCEEDED');
  });

  it('on a port that is in use', async () => {
    const blocker = createServer();
    await new Promise<void>((resolve) => blocker.listen(0, '127.0.0.1', resolve));
    const address = blocker.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    try {
      const data = join(cluster.place.base, 'other');
      expectSentence(
        await galley('server', '--data-dir', data, '--port', `${port}`),
        new RegExp(`127.0.0.1:${port} is in use.*--port`),
      );
    } finally {
      blocker.close();
    }
  });

  it('with state on a memory file system, unless that is meant', async () => {
    await using disk = await smallDisk(12);
    expectSentence(await galley('server', '--data-dir', join(disk.path, 'data'), '--port', '0'), /memory file system/);
  });

  it('on an address that others can reach', async () => {
    const data = join(cluster.place.base, 'other');
    const wide = await galley('server', '--data-dir', data, '--port', '0', '--host', '0.0.0.0');
    expectSentence(wide, /0\.0\.0\.0.*--insecure-listen|insecure/);
  });

  it('with a port that is none', async () => {
    const { code, stderr } = await galley('server', '--data-dir', tmpdir(), '--port', '70000');
    expect(code).toBe(125);
    expect(stderr).toMatch(/70000/);
  });
});

describe('an agent', () => {
  const words = (name: string, directory: string) => [
    'agent',
    '--name',
    name,
    '--address',
    cluster.address,
    '--data-dir',
    join(cluster.place.base, `of-${name}`),
    '--state-dir',
    directory,
  ];

  it('with a token that the control plane does not know', async () => {
    const wrong = await galley(...words('node-9', join(cluster.place.base, 'wrong')), '--token', 'x'.repeat(43));
    expectSentence(wrong, /refuses this agent's token/);
  });

  it('on a state directory that another agent uses', async () => {
    const second = await galley(...words('node-1', cluster.agentDirectory()), '--token', cluster.token);
    expectSentence(second, /in use|another agent/);
  });

  it('under the name of a node that is connected', async () => {
    const impostor = new Child(
      'an impostor',
      [...words('node-1', join(cluster.place.base, 'impostor')), '--token', cluster.token],
      cluster.place.environment,
    );
    try {
      await impostor.says(/node-1.*(another agent|connected|in use)/i);
    } finally {
      await impostor.end('SIGKILL');
    }
  });

  it('of another protocol version', async () => {
    const client = new Client(cluster.address, credentials.createInsecure());
    const metadata = new Metadata();
    metadata.set('authorization', `Bearer ${cluster.token}`);
    const stream = serviceClient(AgentService, client).connect({ metadata });
    const value = create(AgentHelloSchema, {
      nodeName: 'node-7',
      incarnation: randomUUID(),
      bootId: randomUUID(),
      protocolMin: 99,
      protocolMax: 100,
    });
    try {
      const ended = new Promise((_, reject) => stream.resume().once('error', reject));
      stream.write(create(ConnectRequestSchema, { message: { case: 'hello', value } }));
      await expect(ended).rejects.toThrow(
        /the agent speaks versions 99 to 100 of the agent protocol and this control plane version 1; upgrade the control plane/,
      );
    } finally {
      client.close();
    }
  });
});
