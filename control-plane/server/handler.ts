import type {
  DescMessage,
  DescMethodBiDiStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf';
import type { StatusParts } from '@galley/proto';
import type { Identity } from '../security/authenticator.ts';

export type { Identity, Role } from '../security/authenticator.ts';

// What a handler is, whichever transport calls it. Requests arrive authenticated and valid by their rules in the
// contract; responses may be plain objects in the shape of the message.

export interface CallContext extends Identity {
  /** Aborted when the caller cancelled or went away, when the deadline passed, and when the server stops. */
  readonly signal: AbortSignal;
  /** Unix ms by which the caller wants its answer; undefined: none given. */
  readonly deadlineMs: number | undefined;
  /** Address of the caller, for logs. */
  readonly peer: string;
}

export type UnaryHandler<I extends DescMessage, O extends DescMessage> = (
  request: MessageShape<I>,
  context: CallContext,
) => Promise<MessageInitShape<O>>;

/** The stream ends when the iteration does; it is returned early when the caller goes away. */
export type ServerStreamHandler<I extends DescMessage, O extends DescMessage> = (
  request: MessageShape<I>,
  context: CallContext,
) => AsyncIterable<MessageInitShape<O>>;

/** Each message of `requests` is validated before it arrives. A bad one ends the call, and so does the caller: both end the iteration. */
export type BidiHandler<I extends DescMessage, O extends DescMessage> = (
  requests: AsyncIterable<MessageShape<I>>,
  context: CallContext,
) => AsyncIterable<MessageInitShape<O>>;

/** The handlers of a service by local method name (`submitJob`). What a handler throws is mapped by the transport. */
export type Handlers<S extends DescService> = {
  readonly [K in keyof S['method']]: S['method'][K] extends DescMethodUnary<infer I, infer O>
    ? UnaryHandler<I, O>
    : S['method'][K] extends DescMethodServerStreaming<infer I, infer O>
      ? ServerStreamHandler<I, O>
      : S['method'][K] extends DescMethodBiDiStreaming<infer I, infer O>
        ? BidiHandler<I, O>
        : never;
};

/** What is wrong with a message by the rules of the contract; undefined: nothing. */
export type RulesCheck = <D extends DescMessage>(schema: D, message: MessageShape<D>) => StatusParts | undefined;

/** A unary handler that decodes its request by itself, and puts it to `check`: for requests too large for one go. */
export type EncodedUnaryHandler<O extends DescMessage> = (
  encoded: Uint8Array,
  context: CallContext,
  check: RulesCheck,
) => Promise<MessageInitShape<O>>;

/** Of some unary methods of a service, by local method name. */
export type EncodedHandlers<S extends DescService> = {
  readonly [K in keyof S['method']]?: S['method'][K] extends DescMethodUnary<DescMessage, infer O>
    ? EncodedUnaryHandler<O>
    : never;
};
