import { EventService, type StorePosition, SubscribeEventsResponseSchema } from '@galley/proto';
import { type Plain, toPlain } from './plain.ts';
import type { StreamOptions, Transport } from './transport.ts';
import type { JobStateName, JobSummary, NodeStateName } from './types.ts';

/** What changed: a job or a node. */
export interface GalleyEvent {
  readonly atMs: number;
  /** Of the turn that the event belongs to: `subscribeEvents({ after })` goes on behind it. */
  readonly position: Plain<StorePosition>;
  readonly job?: { readonly job: JobSummary; readonly previousState?: JobStateName; readonly childIndices: string };
  readonly node?: {
    readonly node: string;
    readonly state: NodeStateName;
    readonly previousState?: NodeStateName;
    readonly reason: string;
  };
}

export interface EventOptions extends StreamOptions {
  readonly jobQueue?: string;
  /** Default: from now on. */
  readonly after?: Plain<StorePosition>;
}

export function eventMethods(transport: Transport) {
  const service = transport.service(EventService);

  /**
   * What changes, as it happens; goes on behind the last position after a lost connection. Throws OUT_OF_RANGE when that
   * position is too old or of another epoch: list again, then subscribe from now on.
   */
  async function* subscribeEvents(options: EventOptions = {}): AsyncGenerator<GalleyEvent> {
    let after = options.after;
    const { account } = transport.options;
    const once = (call: Parameters<typeof service.subscribeEvents>[1]) =>
      service.subscribeEvents(
        {
          account,
          jobQueue: options.jobQueue ?? '',
          ...(after === undefined ? {} : { after: { epoch: BigInt(after.epoch), sequence: BigInt(after.sequence) } }),
        },
        call,
      );
    for await (const message of transport.resumingStream(once, options)) {
      const { position = { epoch: 0, sequence: 0 }, events } = toPlain(SubscribeEventsResponseSchema, message);
      for (const event of events) yield { ...(event as unknown as Omit<GalleyEvent, 'position'>), position };
      after = position;
    }
  }

  return { subscribeEvents };
}
