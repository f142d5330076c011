import { readJson, writeJson } from '../attempt.ts';
import { type Engine, EngineError, hasStatus, isRefusal } from './engine.ts';
import { ContainerError, timedOut } from './texts.ts';

/** A pull that says nothing for so long has failed; one that goes on may take the other. */
const PULL_SILENCE_MS = 5 * 60_000;
const PULL_MS = 2 * 60 * 60_000;
const INSPECT_MS = 30_000;
const REMOVE_MS = 60_000;
/** Images that this agent pulled may take so many bytes together before the one that was used longest ago goes. */
export const DEFAULT_IMAGE_CACHE_BYTES = 40 * 1024 ** 3;

export interface Image {
  /** `sha256:...`, this engine's own. */
  readonly id: string;
  /** As the registry names it; of an image that came from none its id. */
  readonly digest: string;
  readonly stopSignal: string;
}

interface Inspected {
  readonly Id: string;
  readonly RepoDigests?: readonly string[] | null;
  readonly Size?: number;
  readonly Config?: { readonly StopSignal?: string } | null;
}

/** An image that this agent pulled: only those are ever removed by it. */
interface Pulled {
  readonly reference: string;
  readonly bytes: number;
  readonly lastUsedMs: number;
}

/**
 * The images of one engine: pulled once however many jobs wait for them, and removed, longest unused first, when those that
 * this agent pulled take more than `cacheBytes` (the sum of their sizes; layers that they share count twice). What somebody
 * else pulled is theirs.
 */
export class Images {
  readonly #directory: string;
  readonly #cacheBytes: number;
  readonly #pulls = new Map<string, Promise<void>>();
  readonly #pulled: Map<string, Pulled>;

  constructor(directory: string, cacheBytes = DEFAULT_IMAGE_CACHE_BYTES) {
    this.#directory = directory;
    this.#cacheBytes = cacheBytes;
    this.#pulled = new Map(Object.entries(readJson<Record<string, Pulled>>(directory, 'images.json') ?? {}));
  }

  /**
   * The image that a job names, pulled when `policy` says so. Aborting gives up waiting; others may still wait for the pull.
   * Throws ContainerError, and EngineError (`unavailable`) where the engine is not there: nothing is known of the image then.
   */
  async ensure(
    engine: Engine,
    name: string,
    policy: 'always' | 'missing' | 'never',
    signal: AbortSignal,
  ): Promise<Image> {
    const reference = withTag(name);
    const present = policy === 'always' ? undefined : await this.#inspect(engine, reference);
    if (present !== undefined) return this.#used(reference, present);
    if (policy === 'never') {
      throw new ContainerError(
        'CannotPullContainerError',
        `image ${reference} is not on this node, and its pull policy is never`,
      );
    }
    await waitFor(this.#pull(engine, reference), signal);
    const pulled = await this.#inspect(engine, reference);
    if (pulled === undefined) {
      throw new ContainerError('CannotPullContainerError', `image ${reference} was pulled and is not there`);
    }
    this.#pulled.set(pulled.Id, { reference, bytes: pulled.Size ?? 0, lastUsedMs: Date.now() });
    const image = this.#used(reference, pulled);
    void this.evict(engine);
    return image;
  }

  /** Removes what is too much; what a container still uses is refused by the engine and stays. */
  async evict(engine: Engine): Promise<void> {
    const byAge = [...this.#pulled].sort(([, a], [, b]) => a.lastUsedMs - b.lastUsedMs);
    let bytes = byAge.reduce((sum, [, image]) => sum + image.bytes, 0);
    // The newest stays even when it is too big alone: its job is about to run.
    for (const [id, image] of byAge.slice(0, -1)) {
      if (bytes <= this.#cacheBytes) break;
      try {
        await engine.call('DELETE', `/images/${encodeURIComponent(id)}`, { deadlineMs: REMOVE_MS });
      } catch (error) {
        if (!hasStatus(error, 404)) continue;
      }
      bytes -= image.bytes;
      this.#pulled.delete(id);
    }
    this.#save();
  }

  #used(reference: string, inspected: Inspected): Image {
    const pulled = this.#pulled.get(inspected.Id);
    if (pulled !== undefined) {
      this.#pulled.set(inspected.Id, { ...pulled, lastUsedMs: Date.now() });
      this.#save();
    }
    return {
      id: inspected.Id,
      digest: digestOf(reference, inspected),
      stopSignal: inspected.Config?.StopSignal || 'SIGTERM',
    };
  }

  #save(): void {
    try {
      writeJson(this.#directory, 'images.json', Object.fromEntries(this.#pulled));
    } catch {
      // A full disk: what is forgotten here is merely not evicted after a restart.
    }
  }

  async #inspect(engine: Engine, reference: string): Promise<Inspected | undefined> {
    try {
      // Slashes stay as they are: engines take the whole rest of the path for the name.
      return await engine.call<Inspected>('GET', `/images/${reference}/json`, { deadlineMs: INSPECT_MS });
    } catch (error) {
      if (hasStatus(error, 404)) return undefined;
      if (isRefusal(error)) throw new ContainerError('CannotPullContainerError', error.message, { cause: error });
      throw error;
    }
  }

  #pull(engine: Engine, reference: string): Promise<void> {
    const running = this.#pulls.get(reference);
    if (running !== undefined) return running;
    const pull = pullImage(engine, reference).finally(() => this.#pulls.delete(reference));
    this.#pulls.set(reference, pull);
    return pull;
  }
}

/** `name` with `:latest` where it has neither tag nor digest. A port is no tag: it comes before a slash. */
export function withTag(name: string): string {
  const last = name.slice(name.lastIndexOf('/') + 1);
  return last.includes(':') || last.includes('@') ? name : `${name}:latest`;
}

function digestOf(reference: string, { Id, RepoDigests }: Inspected): string {
  const digests = RepoDigests ?? [];
  const repository = reference.split('@')[0]?.replace(/:[^:/]*$/, '') ?? '';
  const own = digests.find((digest) => digest.split('@')[0]?.endsWith(repository) === true) ?? digests[0];
  return own?.split('@')[1] ?? Id;
}

async function pullImage(engine: Engine, reference: string): Promise<void> {
  const silence = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(), PULL_SILENCE_MS);
  };
  heard();
  const signal = AbortSignal.any([silence.signal, AbortSignal.timeout(PULL_MS)]);
  let failure: string | undefined;
  try {
    const query = { fromImage: reference };
    const answer = await engine.stream('POST', '/images/create', { query, deadlineMs: PULL_SILENCE_MS, signal });
    let rest = '';
    for await (const part of answer as AsyncIterable<Buffer>) {
      heard();
      const lines = `${rest}${part.toString()}`.split('\n');
      rest = lines.pop() ?? '';
      failure = lines.map(errorOf).findLast((error) => error !== undefined) ?? failure;
    }
    failure = errorOf(rest) ?? failure;
  } catch (error) {
    if (signal.aborted) throw timedOut('pulled', silence.signal.aborted ? PULL_SILENCE_MS : PULL_MS);
    if (isRefusal(error)) throw new ContainerError('CannotPullContainerError', error.message, { cause: error });
    if (error instanceof EngineError) throw error;
    throw new EngineError('unavailable', `the container engine went away while it pulled ${reference}`, 0, {
      cause: error,
    });
  } finally {
    clearTimeout(timer);
  }
  if (failure !== undefined) throw new ContainerError('CannotPullContainerError', failure);
}

/** A line of progress; a pull that fails says so in one of them, under a status of 200. */
function errorOf(line: string): string | undefined {
  if (line.trim() === '') return undefined;
  try {
    const { error } = JSON.parse(line) as { error?: unknown };
    return typeof error === 'string' ? error : undefined;
  } catch {
    return undefined;
  }
}

async function waitFor(work: Promise<void>, signal: AbortSignal): Promise<void> {
  const aborted = Promise.withResolvers<never>();
  const give = () => aborted.reject(signal.reason);
  if (signal.aborted) give();
  signal.addEventListener('abort', give, { once: true });
  try {
    await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', give);
    work.catch(() => undefined);
    aborted.promise.catch(() => undefined);
  }
}
