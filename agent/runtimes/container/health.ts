import { EventEmitter } from 'node:events';
import { existsSync } from 'node:fs';
import { Engine } from './engine.ts';

/** Between two looks at the engine, and how long one may take. */
const LOOK_MS = 5_000;
const PING_MS = 3_000;
const DESCRIBE_MS = 10_000;
/** Looks that have to fail before an engine that answered counts as down: one may fall into a restart. */
const PATIENCE_LOOKS = 2;
/** The version of the API that we speak where the engine still does; the oldest that has everything we use. */
const WANTED_VERSION = '1.41';

/** Where engines listen: Docker, Podman as root, Podman as this user. */
export function usualSockets(environment: NodeJS.ProcessEnv = process.env): string[] {
  const runtime = environment['XDG_RUNTIME_DIR'];
  return [
    '/run/docker.sock',
    '/var/run/docker.sock',
    '/run/podman/podman.sock',
    ...(runtime === undefined ? [] : [`${runtime}/docker.sock`, `${runtime}/podman/podman.sock`]),
  ];
}

export interface EngineInfo {
  readonly engine: Engine;
  /** `Docker 20.10.24`, for people. */
  readonly name: string;
  readonly podman: boolean;
  /** `cgroupfs` lets us name any control group as the parent of a container. */
  readonly cgroupDriver: string;
}

/** `up`: it answered the last look. `down`: it did not, or there is none; `reason` says which. */
export type EngineState =
  | { readonly name: 'up'; readonly info: EngineInfo }
  | { readonly name: 'down'; readonly reason: string };

interface Version {
  readonly Version?: string;
  readonly ApiVersion?: string;
  readonly MinAPIVersion?: string;
  readonly Components?: readonly { readonly Name?: string }[];
}

/** Looks at the engine again and again and tells when it comes, goes or is another one. Nothing waits for it. */
export class EngineHealth extends EventEmitter<{ changed: [state: EngineState] }> {
  readonly #sockets: readonly string[];
  #state: EngineState = { name: 'down', reason: 'the container engine was not looked at yet' };
  #timer: NodeJS.Timeout | undefined;
  #failures = 0;
  #closed = false;
  #looking: Promise<void> | undefined;

  constructor(sockets: readonly string[]) {
    super();
    this.#sockets = sockets;
  }

  get state(): EngineState {
    return this.#state;
  }

  /** The first look: takes at most as long as one. */
  async start(): Promise<void> {
    await this.look();
    this.#timer = setInterval(() => void this.look(), LOOK_MS);
  }

  /** Looks now; a call that failed is a reason to. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    const socket = this.#sockets.find((path) => existsSync(path));
    if (socket === undefined) {
      this.#enter({ name: 'down', reason: `there is no container engine at ${this.#sockets.join(', ')}` });
      return;
    }
    try {
      const known =
        this.#state.name === 'up' && this.#state.info.engine.socketPath === socket ? this.#state : undefined;
      if (known === undefined) this.#enter({ name: 'up', info: await describe(new Engine(socket)) });
      else await known.info.engine.call('GET', '/version', { deadlineMs: PING_MS });
      this.#failures = 0;
    } catch (error) {
      this.#failures++;
      if (this.#state.name === 'up' && this.#failures < PATIENCE_LOOKS) return;
      this.#enter({ name: 'down', reason: error instanceof Error ? error.message : String(error) });
    }
  }

  #enter(state: EngineState): void {
    const changed = state.name !== this.#state.name;
    this.#state = state;
    if (changed && !this.#closed) this.emit('changed', state);
  }
}

async function describe(engine: Engine): Promise<EngineInfo> {
  const version = await engine.call<Version>('GET', '/version', { deadlineMs: PING_MS });
  engine.useVersion(negotiate(version));
  const info = await engine.call<{ CgroupDriver?: string }>('GET', '/info', { deadlineMs: DESCRIBE_MS });
  const podman = (version.Components ?? []).some(({ Name }) => /podman/i.test(Name ?? ''));
  return {
    engine,
    name: `${podman ? 'Podman' : 'Docker'} ${version.Version ?? 'of unknown version'}`,
    podman,
    cgroupDriver: info.CgroupDriver ?? '',
  };
}

function negotiate({ ApiVersion = WANTED_VERSION, MinAPIVersion = ApiVersion }: Version): string {
  if (compareVersions(WANTED_VERSION, MinAPIVersion) < 0) return MinAPIVersion;
  return compareVersions(WANTED_VERSION, ApiVersion) > 0 ? ApiVersion : WANTED_VERSION;
}

function compareVersions(a: string, b: string): number {
  const [majorA = 0, minorA = 0] = a.split('.').map(Number);
  const [majorB = 0, minorB = 0] = b.split('.').map(Number);
  return majorA - majorB || minorA - minorB;
}
