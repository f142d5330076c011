import type { EventService } from '@galley/proto';
import type { Handlers } from '../server/handler.ts';
import { notBuiltStream } from './unbuilt.ts';

/** A resumable stream of what changed: part of the contract, built later. */
export function createEventService(): Handlers<typeof EventService> {
  return { subscribeEvents: () => notBuiltStream('SubscribeEvents') };
}
