import type { Input, Output, QueueSettings, Replies, Reply } from '../../core/types.ts';
import type { CoreView, QueueView } from '../../core/view.ts';
import type { Change, Position, Store } from '../../store/store.ts';
import type { TakenTurn, TurnCore } from '../turn-core.ts';

const SETTINGS: QueueSettings = { priority: 1, enabled: true, environments: [], tags: {} };
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * The smallest core there is: it knows queues by name, creates them, and says so in an output. The turn loop's promises
 * are tested on it apart from everything that jobs are.
 */
export class QueueCore implements TurnCore {
  readonly ticks: { wallMs: number; elapsedMs: number }[] = [];
  readonly durable: number[] = [];
  readonly #names = new Set<string>();
  #position: Position;
  #turn = 0;
  #changes: Change[] = [];
  #outputs: Output[] = [];

  constructor(position: Position, names: Iterable<string>) {
    this.#position = position;
    this.#names = new Set(names);
  }

  get pendingBytes(): number {
    return this.#changes.reduce((sum, { key, value }) => sum + key.length + (value?.length ?? 0), 0);
  }

  /** `explode` as a queue's name is the assertion that fails; other inputs change nothing. */
  apply<I extends Input>(input: I): Reply<I> {
    if (input.kind === 'tick') this.ticks.push(input);
    if (input.kind !== 'createQueue') return undefined as Reply<I>;
    if (input.name === 'explode') throw new Error('an assertion of the core failed');
    const reply: Replies['createQueue'] = this.#names.has(input.name)
      ? { ok: false, code: 'alreadyExists', field: 'name', message: 'exists' }
      : { ok: true };
    if (reply.ok) {
      this.#names.add(input.name);
      this.#changes.push({ key: encoder.encode(input.name), value: encoder.encode('queue') });
      this.#outputs.push({ kind: 'nodeChanged', account: '', node: input.name, from: 1, to: 2, reason: '' });
    }
    return reply as Reply<I>;
  }

  schedule(): boolean {
    return false;
  }

  takeTurn(): TakenTurn {
    const taken = { position: this.#next(), changes: this.#changes, outputs: this.#outputs, turn: this.#turn++ };
    if (taken.changes.length > 0) this.#position = taken.position;
    this.#changes = [];
    this.#outputs = [];
    return taken;
  }

  turnDurable(turn: number): void {
    this.durable.push(turn);
  }

  get view(): CoreView {
    const names = this.#names;
    const turn = this.#turn;
    const queue = (account: string, name: string): QueueView | undefined =>
      names.has(name) ? { account, name, version: 1, createdAtMs: 0, liveJobs: [], ...SETTINGS } : undefined;
    return { turn, queue, queues: (account: string) => [...names].map((name) => queue(account, name)) } as CoreView;
  }

  #next(): Position {
    return { epoch: this.#position.epoch, sequence: this.#position.sequence + 1 };
  }
}

export async function loadQueueCore(store: Store): Promise<QueueCore> {
  const names: string[] = [];
  for await (const page of store.scan({ gte: new Uint8Array(), lt: Uint8Array.of(0xff) })) {
    for (const { key } of page) names.push(decoder.decode(key));
  }
  return new QueueCore(store.position, names);
}

export function createQueue(name: string): Extract<Input, { kind: 'createQueue' }> {
  return { kind: 'createQueue', account: 'default', name, settings: SETTINGS };
}
