import type { MessageInitShape } from '@bufbuild/protobuf';
import type { EventService, SubscribeEventsRequest, SubscribeEventsResponseSchema } from '@galley/proto';
import type { Handlers } from '../server/handler.ts';
import type { Position } from '../store/store.ts';
import type { StateEvent, TurnEvents } from '../turn/event-ring.ts';
import { accountOf } from './accounts.ts';
import { notFound } from './errors.ts';
import { EventMessages } from './event-messages.ts';
import type { ApiParts } from './parts.ts';

/** Events of one message: at about 2 KiB each it stays below what a client takes (4 MiB). */
const MAX_MESSAGE_EVENTS = 1_000;

/** A reader whose filter lets nothing through learns of the position every so many turns, so that it does not grow old. */
const MAX_SILENT_TURNS = 1_000;

type EventMessage = MessageInitShape<typeof SubscribeEventsResponseSchema>;

/** A resumable stream of what changed. */
export function createEventService(parts: Pick<ApiParts, 'turns' | 'events'>): Handlers<typeof EventService> {
  const messages = new EventMessages(parts.turns);
  return {
    subscribeEvents: (request, { signal }) => subscribe(parts, messages, request, signal),
  };
}

async function* subscribe(
  { turns, events }: Pick<ApiParts, 'turns' | 'events'>,
  messages: EventMessages,
  request: SubscribeEventsRequest,
  signal: AbortSignal,
): AsyncGenerator<EventMessage, void, undefined> {
  const { jobQueue } = request;
  const account = accountOf(request);
  if (jobQueue !== '' && (await turns.read((view) => view.queue(account, jobQueue))) === undefined) {
    throw notFound('job_queue', `job queue "${jobQueue}"`);
  }
  const wanted = (event: StateEvent): boolean =>
    event.account === account && (jobQueue === '' || (event.kind === 'job' && event.queue === jobQueue));
  const subscription = events.subscribe(positionOf(request), signal);
  let { position } = subscription;
  let silentTurns = 0;
  yield { position: toPosition(position) };
  for await (const turn of subscription) {
    const shown = turn.events.filter(wanted);
    silentTurns = shown.length === 0 ? silentTurns + 1 : 0;
    if (silentTurns === MAX_SILENT_TURNS) {
      silentTurns = 0;
      yield { position: toPosition(turn.position) };
    }
    yield* inMessages(messages, turn, shown, position);
    position = turn.position;
  }
}

/** `before`: where the turn before stood. */
async function* inMessages(
  messages: EventMessages,
  turn: TurnEvents,
  shown: readonly StateEvent[],
  before: Position,
): AsyncGenerator<EventMessage, void, undefined> {
  for (let at = 0; at < shown.length; at += MAX_MESSAGE_EVENTS) {
    const slice = shown.slice(at, at + MAX_MESSAGE_EVENTS);
    const isLast = at + MAX_MESSAGE_EVENTS >= shown.length;
    yield {
      position: toPosition(isLast ? turn.position : before),
      events: await messages.of(turn.atMs, slice),
    };
  }
}

function positionOf({ after }: SubscribeEventsRequest): Position | undefined {
  return after === undefined ? undefined : { epoch: Number(after.epoch), sequence: Number(after.sequence) };
}

function toPosition({ epoch, sequence }: Position): { epoch: bigint; sequence: bigint } {
  return { epoch: BigInt(epoch), sequence: BigInt(sequence) };
}
