import type { IncomingMessage } from 'node:http';
import { type Engine, hasStatus, isRefusal } from './engine.ts';
import type { InspectedContainer } from './outcome.ts';
import { LABEL_INCARNATION, LABEL_KEY } from './spec.ts';

/** How long each call may take, in milliseconds. Those of creating and starting are the ones of AWS's agent. */
export interface ContainerDeadlines {
  readonly createMs: number;
  readonly startMs: number;
  readonly inspectMs: number;
  readonly killMs: number;
  readonly removeMs: number;
  /** Until the engine begins to give a container's output. */
  readonly logsMs: number;
}

export const CONTAINER_DEADLINES: ContainerDeadlines = {
  createMs: 4 * 60_000,
  startMs: 3 * 60_000,
  inspectMs: 30_000,
  killMs: 10_000,
  removeMs: 60_000,
  logsMs: 30_000,
};

export interface ListedContainer {
  readonly id: string;
  readonly key: string;
  readonly running: boolean;
}

/** What the runtime asks of an engine about containers, by name or id. */
export class ContainerCalls {
  readonly #engine: Engine;
  readonly #deadlines: ContainerDeadlines;

  constructor(engine: Engine, deadlines: ContainerDeadlines) {
    this.#engine = engine;
    this.#deadlines = deadlines;
  }

  /** The id of the new container. One of the same name that never ran is a leftover of ours, and makes room. */
  async create(name: string, body: unknown): Promise<string> {
    const call = { query: { name }, body, deadlineMs: this.#deadlines.createMs };
    try {
      return (await this.#engine.call<{ Id: string }>('POST', '/containers/create', call)).Id;
    } catch (error) {
      if (!hasStatus(error, 409)) throw error;
    }
    await this.removeUnlessRunning(name);
    return (await this.#engine.call<{ Id: string }>('POST', '/containers/create', call)).Id;
  }

  async start(name: string): Promise<void> {
    await this.#engine.call('POST', `/containers/${name}/start`, { deadlineMs: this.#deadlines.startMs });
  }

  /** Undefined when there is no such container. */
  async inspect(name: string): Promise<InspectedContainer | undefined> {
    try {
      const deadlineMs = this.#deadlines.inspectMs;
      return await this.#engine.call<InspectedContainer>('GET', `/containers/${name}/json`, { deadlineMs });
    } catch (error) {
      if (hasStatus(error, 404)) return undefined;
      throw error;
    }
  }

  /** One that is over already takes every signal. */
  async kill(name: string, signal: string): Promise<void> {
    try {
      const call = { query: { signal }, deadlineMs: this.#deadlines.killMs };
      await this.#engine.call('POST', `/containers/${name}/kill`, call);
    } catch (error) {
      if (!hasStatus(error, 409) && !hasStatus(error, 404)) throw error;
    }
  }

  /** False: it runs. After true it never will: the engine orders this against a start that is still under way. */
  async removeUnlessRunning(name: string): Promise<boolean> {
    return this.#remove(name, false);
  }

  async remove(name: string): Promise<void> {
    await this.#remove(name, true);
  }

  async #remove(name: string, force: boolean): Promise<boolean> {
    try {
      const call = { query: { v: true, force }, deadlineMs: this.#deadlines.removeMs };
      await this.#engine.call('DELETE', `/containers/${name}`, call);
    } catch (error) {
      if (hasStatus(error, 409)) return false;
      if (!hasStatus(error, 404)) throw error;
    }
    return true;
  }

  /** What it has written, from the beginning; with `follow` until it is over. */
  logs(name: string, follow: boolean, signal: AbortSignal): Promise<IncomingMessage> {
    return this.#engine.stream('GET', `/containers/${name}/logs`, {
      query: { follow, stdout: true, stderr: true },
      deadlineMs: this.#deadlines.logsMs,
      signal,
    });
  }

  /** All containers of an agent, whatever their state. */
  async list(incarnation: string): Promise<ListedContainer[]> {
    type Row = { Id: string; State: string; Labels?: Record<string, string> | null };
    const filters = JSON.stringify({ label: [`${LABEL_INCARNATION}=${incarnation}`] });
    const call = { query: { all: true, filters }, deadlineMs: this.#deadlines.inspectMs };
    const rows = await this.#engine.call<Row[]>('GET', '/containers/json', call);
    return rows.map(({ Id, State, Labels }) => ({
      id: Id,
      key: Labels?.[LABEL_KEY] ?? '',
      running: State !== 'exited' && State !== 'dead',
    }));
  }
}

/** A refusal in the engine's own words; anything else as it is. */
export function refusalText(error: unknown): string | undefined {
  return isRefusal(error) ? error.message : undefined;
}
