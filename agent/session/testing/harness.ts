import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { create } from '@bufbuild/protobuf';
import { StopSchema } from '@galley/proto';
import { pino } from 'pino';
import { type AgentOptions, type RunningAgent, runAgent } from '../../main.ts';
import { type Script, ScriptedControlPlane } from './control-plane.ts';

const PROGRAM = fileURLToPath(new URL('agent-program.ts', import.meta.url));

/** A scripted control plane, a state directory, and agents on it, in this process or in one of their own. */
export class Harness {
  readonly plane: ScriptedControlPlane;
  readonly directory: string;
  readonly #engineSocket: string;
  readonly #agents: RunningAgent[] = [];
  readonly #processes: ChildProcess[] = [];

  private constructor(plane: ScriptedControlPlane, directory: string, engineSocket: string) {
    this.plane = plane;
    this.#engineSocket = engineSocket;
    this.directory = directory;
  }

  /** Without a socket the agents find no container engine, whatever runs on this machine. */
  static async create(script: Partial<Script> = {}, engineSocket = '/nowhere/engine.sock'): Promise<Harness> {
    const directory = await mkdtemp(join(tmpdir(), 'galley-agent-'));
    return new Harness(await ScriptedControlPlane.start(script), directory, engineSocket);
  }

  /** What every agent here is started with. */
  get options(): AgentOptions {
    return {
      dataDir: join(this.directory, 'state'),
      address: this.plane.address,
      token: 'secret',
      nodeName: 'node-1',
      allowUnlimited: true,
      reserve: { percent: 0, memoryBytes: 0 },
      containers: { socket: this.#engineSocket },
    };
  }

  /** An agent in this process; does not wait for its session. */
  async start(options: Partial<AgentOptions> = {}): Promise<RunningAgent> {
    const log = pino({ level: process.env['GALLEY_LOG_LEVEL'] ?? 'silent' });
    const agent = await runAgent({ ...this.options, log, ...options });
    this.#agents.push(agent);
    return agent;
  }

  /** An agent in this process that has connected. */
  async connect(options: Partial<AgentOptions> = {}): Promise<RunningAgent> {
    const before = this.plane.hellos.length;
    const agent = await this.start(options);
    await this.plane.until('the agent has connected', () => this.plane.hellos.length > before && this.plane.connected);
    return agent;
  }

  /** An agent in a process of its own that has connected; kill it with -9. */
  async spawn(program = PROGRAM): Promise<ChildProcess> {
    const before = this.plane.hellos.length;
    const child = spawn(process.execPath, [program, JSON.stringify(this.options)], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, GALLEY_LOG_LEVEL: process.env['GALLEY_LOG_LEVEL'] ?? 'silent' },
    });
    this.#processes.push(child);
    await this.plane.until('the agent has connected', () => this.plane.hellos.length > before && this.plane.connected);
    return child;
  }

  async #endJobs(): Promise<void> {
    const { plane } = this;
    Object.assign(plane.script, { acks: true, heartbeatAcks: true, logs: 'ack' } satisfies Partial<Script>);
    for (const agent of this.#agents.splice(0)) await agent.close();
    if (!plane.listening) await plane.listen();
    await this.connect();
    await plane.until('every job is over', () => {
      plane.stopAttempts(
        ...plane.unfinished.map((id) => create(StopSchema, { id, reason: 'the test is over', graceSeconds: 0 })),
      );
      return plane.unfinished.length === 0;
    });
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  /** Leaves no job, no control group and no process behind. */
  async close(): Promise<void> {
    for (const child of this.#processes) await kill(child);
    if (this.#processes.length > 0 || this.plane.unfinished.length > 0) await this.#endJobs();
    for (const agent of this.#agents) await agent.close();
    this.plane.stop();
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** SIGKILL, and waits until it is gone. */
export async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}
