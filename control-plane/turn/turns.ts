import type { Input, Reply } from '../core/types.ts';
import type { CoreView } from '../core/view.ts';
import type { Store } from '../store/store.ts';

/**
 * The one door to the core. Inputs are gathered into turns; a turn is applied, committed as one synced batch, and only
 * then released. See `turn-loop.ts`.
 */
export interface Turns {
  /**
   * Applies an input in the next turn and resolves with its reply once that turn is durable. Rejects with a `TurnError`:
   * `OUTCOME_UNKNOWN` when the commit failed (ask again with the same id), `OVERLOADED` when too much waits,
   * `UNAVAILABLE` while the store takes nothing (nothing was done), `CLOSED`.
   */
  apply<I extends Input>(input: I): Promise<Reply<I>>;

  /** Asks the core as it stands after the last applied turn and resolves once that turn is durable. */
  read<T>(query: (view: CoreView) => T): Promise<T>;

  /** The core as it stands, durable or not: for validation that the core repeats, never for an answer. */
  readonly view: CoreView;

  /** For reads of records that are over. Replaced when the store was reopened: ask each time. */
  readonly store: Store;
}

/** `EXPIRED`: what was asked for lies before what is remembered (`event-log.ts`). */
export type TurnErrorCode = 'OUTCOME_UNKNOWN' | 'OVERLOADED' | 'UNAVAILABLE' | 'CLOSED' | 'EXPIRED';

export class TurnError extends Error {
  override readonly name = 'TurnError';
  readonly code: TurnErrorCode;
  constructor(code: TurnErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
