import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { Engine } from '../container/engine.ts';
import { TEST_IMAGE } from './containers.ts';

const START_MS = 60_000;
const DAEMONS = ['/usr/bin/dockerd', '/usr/sbin/dockerd', '/usr/local/bin/dockerd'];
const BUSYBOXES = ['/usr/bin/busybox', '/bin/busybox'];

/** Why there can be no engine of our own here, or undefined. */
export function noEngine(): string | undefined {
  if (process.getuid?.() !== 0) return 'a container engine takes root';
  if (!DAEMONS.some((path) => existsSync(path))) return 'there is no dockerd (package docker.io)';
  if (!BUSYBOXES.some((path) => existsSync(path))) return 'there is no static busybox (package busybox-static)';
  return undefined;
}

/** A Docker engine of the test's own: private socket, data and network, one image of a static busybox. */
export class TestEngine {
  readonly directory: string;
  readonly socket: string;
  readonly #options: readonly string[];
  #daemon: ChildProcess | undefined;

  private constructor(directory: string, options: readonly string[]) {
    this.directory = directory;
    this.socket = join(directory, 'engine.sock');
    this.#options = options;
  }

  /** `options` of dockerd beside those that keep it to itself. */
  static async start(...options: string[]): Promise<TestEngine> {
    const engine = new TestEngine(mkdtempSync(join(tmpdir(), 'galley-engine-')), options);
    await engine.run();
    await engine.#import();
    return engine;
  }

  async run(): Promise<void> {
    const path = (name: string) => join(this.directory, name);
    const log = openSync(path('log'), 'a');
    this.#daemon = spawn(
      DAEMONS.find((candidate) => existsSync(candidate)) ?? 'dockerd',
      [
        ...['--host', `unix://${this.socket}`, '--data-root', path('data'), '--exec-root', path('exec')],
        ...['--pidfile', path('pid'), '--storage-driver=vfs', '--iptables=false', '--ip6tables=false'],
        ...['--bridge=none', '--shutdown-timeout=1', ...this.#options],
      ],
      { stdio: ['ignore', log, log], detached: true },
    );
    const until = performance.now() + START_MS;
    for (;;) {
      try {
        await new Engine(this.socket).call('GET', '/version', { deadlineMs: 2_000 });
        return;
      } catch (error) {
        if (performance.now() > until || this.#daemon.exitCode !== null) {
          throw new Error(`dockerd does not start: ${readFileSync(path('log'), 'utf8').slice(-2_000)}`, {
            cause: error,
          });
        }
        await sleep(50);
      }
    }
  }

  /** Until `go`, it takes calls and answers none. */
  hang(): void {
    this.#daemon?.kill('SIGSTOP');
  }

  go(): void {
    this.#daemon?.kill('SIGCONT');
  }

  docker(...args: string[]): Promise<{ stdout: string }> {
    return execa('docker', ['-H', `unix://${this.socket}`, ...args]);
  }

  /** Names of all containers that it has. */
  async containers(): Promise<string[]> {
    const { stdout } = await this.docker('ps', '--all', '--format', '{{.Names}}');
    return stdout.split('\n').filter((name) => name !== '');
  }

  /** SIGKILL of the daemon alone; what it started goes on. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
    // Its containerd dies with it. Where nobody reaps it, dockerd takes the zombie for a running one and waits for it.
    rmSync(join(this.directory, 'exec', 'containerd', 'containerd.pid'), { force: true });
  }

  async close(): Promise<void> {
    try {
      const names = await this.containers();
      if (names.length > 0) await this.docker('rm', '--force', '--volumes', ...names);
    } finally {
      await this.#end('SIGTERM');
      await execa(
        'sh',
        ['-c', 'grep -o " $1/[^ ]*" /proc/self/mountinfo | sort -r | xargs -r umount -l', 'sh', this.directory],
        {
          reject: false,
        },
      );
      rmSync(this.directory, { recursive: true, force: true });
    }
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const daemon = this.#daemon;
    if (daemon === undefined || daemon.exitCode !== null || daemon.signalCode !== null) return;
    const exited = once(daemon, 'exit');
    daemon.kill('SIGCONT');
    daemon.kill(signal);
    await exited;
  }

  async #import(): Promise<void> {
    const root = join(this.directory, 'image');
    mkdirSync(join(root, 'bin'), { recursive: true });
    mkdirSync(join(root, 'tmp'), { mode: 0o777 });
    const busybox = join(root, 'bin', 'busybox');
    copyFileSync(BUSYBOXES.find((path) => existsSync(path)) ?? '', busybox);
    const { stdout } = await execa(busybox, ['--list']);
    for (const applet of stdout.split('\n')) {
      if (applet !== 'busybox' && applet !== '') symlinkSync('busybox', join(root, 'bin', applet));
    }
    const archive = join(this.directory, 'image.tar');
    await execa('tar', ['-C', root, '-cf', archive, '.']);
    await this.docker('import', '--change', 'ENV PATH=/bin', archive, TEST_IMAGE);
  }
}
