import type { ServerSurfaceCall } from '@grpc/grpc-js/build/src/server-call.js';
import type { Identity, Role } from '../security/authenticator.ts';
import type { CallContext } from './handler.ts';

/** Shared: making one costs a stack trace, and every call that is over is cancelled in the end. */
const CALLER_GONE = new DOMException('the caller went away', 'AbortError');

/** The context of one call, and the means to end it. */
export class CallScope implements CallContext {
  readonly principal: string;
  readonly role: Role;
  readonly deadlineMs: number | undefined;
  readonly peer: string;
  /** Made when somebody asks: most calls never do. */
  #controller: AbortController | undefined;
  #reason: Error | undefined;

  constructor(call: ServerSurfaceCall, identity: Identity) {
    this.principal = identity.principal;
    this.role = identity.role;
    this.peer = call.getPeer();
    this.deadlineMs = unixMs(call.getDeadline());
    // Also emitted when the deadline passes and when the connection breaks.
    call.on('cancelled', () => this.abort(CALLER_GONE));
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#reason !== undefined) this.#controller.abort(this.#reason);
    return this.#controller.signal;
  }

  get aborted(): boolean {
    return this.#reason !== undefined;
  }

  abort(reason: Error): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#controller?.abort(reason);
  }
}

function unixMs(deadline: Date | number): number | undefined {
  const ms = typeof deadline === 'number' ? deadline : deadline.getTime();
  return Number.isFinite(ms) ? ms : undefined;
}
