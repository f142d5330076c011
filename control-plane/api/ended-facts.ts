import type { EndedFact, JobIdBytes } from '../core/types.ts';
import type { Store } from '../store/store.ts';
import { readEndedFacts } from '../turn/load.ts';
import type { Turns } from '../turn/turns.ts';

/** A job that may be over. */
export interface FactQuestion {
  readonly account: string;
  readonly jobId: JobIdBytes;
}

/** What the store said, and when it was asked. */
export interface Facts {
  /** In the order of the questions. */
  readonly ended: readonly (EndedFact | undefined)[];
  /** The turn whose state was on disk at the latest when it was asked. */
  readonly turn: number;
  readonly store: Store;
}

/** Keys of one read of the store. */
const MAX_KEYS_PER_READ = 2_000;

interface Waiting {
  readonly questions: readonly FactQuestion[];
  readonly resolve: (facts: Facts) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Reads what the store knows of jobs that are over. One read is under way at a time and those who ask meanwhile share the
 * next, because a read costs a trip to another thread whether it is for one key or for a thousand.
 */
export class EndedFacts {
  readonly #turns: Turns;
  #waiting: Waiting[] = [];
  #reading = false;

  constructor(turns: Turns) {
    this.#turns = turns;
  }

  read(questions: readonly FactQuestion[]): Promise<Facts> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ questions, resolve, reject });
      if (this.#reading) return;
      this.#reading = true;
      // Calls that arrived in the same pass of the event loop share the first read.
      setImmediate(() => void this.#drain());
    });
  }

  async #drain(): Promise<void> {
    while (this.#waiting.length > 0) {
      const group = this.#take();
      // The turn is taken first: what ends after it is still in the core's memory when the command arrives there.
      const { view, store } = this.#turns;
      const { turn } = view;
      try {
        const ended = await readEnded(
          store,
          group.flatMap(({ questions }) => questions),
        );
        let at = 0;
        for (const { questions, resolve } of group) {
          resolve({ ended: group.length === 1 ? ended : ended.slice(at, at + questions.length), turn, store });
          at += questions.length;
        }
      } catch (error) {
        for (const { reject } of group) reject(error);
      }
    }
    this.#reading = false;
  }

  #take(): Waiting[] {
    let [count, keys] = [0, 0];
    for (const { questions } of this.#waiting) {
      if (count > 0 && keys + questions.length > MAX_KEYS_PER_READ) break;
      keys += questions.length;
      count++;
    }
    return this.#waiting.splice(0, count);
  }
}

async function readEnded(store: Store, questions: readonly FactQuestion[]): Promise<(EndedFact | undefined)[]> {
  const accounts = new Set(questions.map(({ account }) => account));
  const facts: (EndedFact | undefined)[] = questions.map(() => undefined);
  for (const account of accounts) {
    const places = questions.flatMap((question, at) => (question.account === account ? [{ at, ...question }] : []));
    const found = await readEndedFacts(
      store,
      account,
      places.map(({ jobId }) => jobId),
    );
    if (accounts.size === 1) return found;
    for (const [index, { at }] of places.entries()) facts[at] = found[index];
  }
  return facts;
}
