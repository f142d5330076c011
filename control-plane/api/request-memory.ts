import { sameBytes } from '../core/ids.ts';
import { ApiError } from './errors.ts';

/** Request ids that are remembered; the oldest is forgotten first. */
const MAX_REMEMBERED_REQUESTS = 10_000;

interface Remembered<T> {
  readonly digest: Uint8Array;
  /** Rejects when the outcome was unknown: then `find` decides. */
  answer: Promise<T>;
}

/** Makes repeated calls harmless: the same request id with the same request gets the first answer. */
export class RequestMemory<T> {
  readonly #requests = new Map<string, Remembered<T>>();

  /** `find` looks for what an earlier call of unknown outcome may have done. An empty id is not remembered. */
  async once(
    id: string,
    digest: Uint8Array,
    { act, find }: { act: () => Promise<T>; find: () => Promise<T | undefined> },
  ): Promise<T> {
    if (id === '') return act();
    const earlier = this.#requests.get(id);
    if (earlier === undefined) return this.#remember(id, digest, act());
    if (!sameBytes(earlier.digest, digest)) {
      const description = `"${id}" was used with another request`;
      throw new ApiError('ALREADY_EXISTS', `request_id: ${description}`, {
        violations: [{ field: 'request_id', description }],
      });
    }
    return earlier.answer.catch(() => this.#remember(id, digest, again(act, find)));
  }

  #remember(id: string, digest: Uint8Array, answer: Promise<T>): Promise<T> {
    this.#requests.delete(id);
    this.#requests.set(id, { digest, answer });
    const oldest = this.#requests.size > MAX_REMEMBERED_REQUESTS ? this.#requests.keys().next().value : undefined;
    if (oldest !== undefined) this.#requests.delete(oldest);
    return answer;
  }
}

async function again<T>(act: () => Promise<T>, find: () => Promise<T | undefined>): Promise<T> {
  return (await find()) ?? act();
}
