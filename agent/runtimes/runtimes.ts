import type { ContainerRuntime } from './container/container.ts';
import type { ProcessRuntime } from './process.ts';
import type {
  Attached,
  AttachRequest,
  AttemptLaunch,
  Runtime,
  RuntimeDescription,
  RuntimeEvents,
  Started,
  StopOptions,
  Usage,
} from './runtime.ts';

/** Processes and containers behind one interface: an attempt is its runtime's from the launch on. */
export class Runtimes implements Runtime {
  readonly #process: ProcessRuntime;
  readonly #container: ContainerRuntime;

  constructor(process: ProcessRuntime, container: ContainerRuntime) {
    this.#process = process;
    this.#container = container;
  }

  get description(): RuntimeDescription {
    return this.#process.description;
  }

  /** Why no container can be started now, or undefined. */
  containerFault(): string | undefined {
    const { engine } = this.#container;
    return engine.name === 'up' ? undefined : engine.reason;
  }

  async attach(requests: readonly AttachRequest[]): Promise<Attached[]> {
    const [processes, containers] = await Promise.all([
      this.#process.attach(requests.filter(({ runtime }) => runtime === 'process')),
      this.#container.attach(requests.filter(({ runtime }) => runtime === 'container')),
    ]);
    return [...processes, ...containers];
  }

  start(launch: AttemptLaunch): Promise<Started> {
    return launch.container === undefined ? this.#process.start(launch) : this.#container.start(launch);
  }

  /** A key that a runtime does not know changes nothing there. */
  stop(key: string, options: StopOptions): void {
    this.#process.stop(key, options);
    this.#container.stop(key, options);
  }

  usage(key: string): Usage | undefined {
    return this.#process.usage(key) ?? this.#container.usage(key);
  }

  async release(key: string): Promise<void> {
    await Promise.all([this.#process.release(key), this.#container.release(key)]);
  }

  on(event: 'started', listener: (...values: RuntimeEvents['started']) => void): this;
  on(event: 'ended', listener: (...values: RuntimeEvents['ended']) => void): this;
  on(
    event: 'started' | 'ended',
    listener: ((...values: RuntimeEvents['started']) => void) | ((...values: RuntimeEvents['ended']) => void),
  ): this {
    const heard = listener as (...values: RuntimeEvents['started'] | RuntimeEvents['ended']) => void;
    this.#process.on(event, heard);
    this.#container.on(event, heard);
    return this;
  }

  async close(): Promise<void> {
    await Promise.all([this.#process.close(), this.#container.close()]);
  }
}
