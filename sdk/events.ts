import { EventService, type StorePosition, SubscribeEventsResponseSchema } from '@galley/proto';
import { GalleyError } from './errors.ts';
import { type Plain, toPlain } from './plain.ts';
import type { StreamOptions, Transport } from './transport.ts';
import type { JobStateName, JobSummary, NodeStateName } from './types.ts';

/** A place in the history of the control plane. */
export type Position = Plain<StorePosition>;

/** A job or a node changed its state. */
export interface GalleyEvent {
  readonly atMs: number;
  /** `events({ after: position })` goes on behind it; what happened together with it may be told again. */
  readonly position: Position;
  /** `job.state` is the one reached; `childIndices` are the children of an array that made the change: `0-99,150`. */
  readonly job?: { readonly job: JobSummary; readonly previousState?: JobStateName; readonly childIndices: string };
  readonly node?: {
    readonly node: string;
    readonly state: NodeStateName;
    readonly previousState?: NodeStateName;
    readonly reason: string;
  };
}

export interface EventOptions extends StreamOptions {
  /** Events of jobs of this queue, and none of nodes. Default: all. */
  readonly queue?: string;
  /** Default: from now on. */
  readonly after?: Position;
  /** Called with the position that a later `after` may take, at the start and as the stream goes on. */
  readonly onPosition?: (position: Position) => void;
}

export function eventMethods(transport: Transport) {
  const service = transport.service(EventService);

  /**
   * What jobs and nodes become, as it happens and once it is durable; it does not end by itself. After a lost connection
   * it goes on where it was, and may tell again what it told last.
   *
   * Throws OUT_OF_RANGE (reason `CURSOR_EXPIRED`) when the position is not remembered any more, as after a restart of the
   * control plane, or when this reader is too slow. To begin anew: `const { position } = await getClusterStatus()`, list
   * what you need, then `events({ after: position })`. Throws RESOURCE_EXHAUSTED when too many are subscribed.
   */
  async function* events(options: EventOptions = {}): AsyncGenerator<GalleyEvent> {
    let { after } = options;
    const { account } = transport.options;
    const once = (call: Parameters<typeof service.subscribeEvents>[1]) =>
      service.subscribeEvents(
        {
          account,
          jobQueue: options.queue ?? '',
          ...(after === undefined ? {} : { after: { epoch: BigInt(after.epoch), sequence: BigInt(after.sequence) } }),
        },
        call,
      );
    for await (const message of transport.resumingStream(once, options)) {
      const { position, events: told } = toPlain(SubscribeEventsResponseSchema, message);
      if (position === undefined) throw new GalleyError('BAD_ANSWER', 'a message of the event stream has no position');
      for (const event of told) yield { ...(event as unknown as Omit<GalleyEvent, 'position'>), position };
      after = position;
      options.onPosition?.(position);
    }
  }

  return { events };
}
