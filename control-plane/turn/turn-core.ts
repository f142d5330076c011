import type { Input, Output, Reply } from '../core/types.ts';
import type { CoreView } from '../core/view.ts';
import type { Change, Position, Store } from '../store/store.ts';

/** What one turn leaves: what to commit, and what to release once that is durable. */
export interface TakenTurn {
  readonly position: Position;
  readonly changes: Change[];
  readonly outputs: Output[];
  /** Its number, for `turnDurable`. */
  readonly turn: number;
}

/** What the turn loop needs of the core. */
export interface TurnCore {
  apply<I extends Input>(input: I): Reply<I>;
  /** Places what fits within so many steps. True: there is more to do, call again next turn. */
  schedule(stepBudget: number): boolean;
  /** Bytes of the changes gathered since `takeTurn`. */
  readonly pendingBytes: number;
  takeTurn(): TakenTurn;
  /** Jobs that ended in this turn may leave memory. */
  turnDurable(turn: number): void;
  readonly view: CoreView;
}

/** An open store and the core as loaded from it. */
export interface OpenedState {
  readonly store: Store;
  readonly core: TurnCore;
}
